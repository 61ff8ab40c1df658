//! The page at `/` in a real browser: live charts, a query typed and answered as table and chart, errors
//! at their place, links that bring a query along; and that the page asks nobody but its server.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking, its helpers too")]

use serde_json::{Value, json};
use tsdb_tests::browser::Browser;
use tsdb_tests::http::escape;
use tsdb_tests::server::Server;

/// A browser, or None and a line that says why the test does not run.
#[track_caller]
fn browser() -> Option<Browser> {
    let started = Browser::start();
    if started.is_none() {
        tsdb_tests::skip("no chromium on PATH (apt-get install chromium)");
    }
    started
}

fn start(flags: &[&str]) -> (tempfile::TempDir, Server, String) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), flags);
    let url = format!("http://{}/", server.address());
    (dir, server, url)
}

/// Puts `text` in place of what is in the box.
fn fill(browser: &mut Browser, text: &str) {
    browser.evaluate("document.getElementById('q').focus(); document.getElementById('q').select()");
    browser.type_text(text);
}

/// Chooses an entry of a list, as soon as it is there.
fn choose(browser: &mut Browser, list: &str, entry: &str) {
    browser.wait_for(&format!(
        "[...document.getElementById('{list}').options].some(option => option.value === '{entry}')"
    ));
    browser.evaluate(&format!(
        "document.getElementById('{list}').value = '{entry}';
         document.getElementById('{list}').dispatchEvent(new Event('change'))"
    ));
}

fn run(browser: &mut Browser) {
    browser.press("Enter", 13, true);
    browser.wait_for("document.getElementById('run').textContent === 'Run'");
}

fn text(browser: &mut Browser, selector: &str) -> String {
    let text = browser.evaluate(&format!("document.querySelector('{selector}')?.textContent"));
    text.as_str().unwrap_or_default().to_owned()
}

fn texts(browser: &mut Browser, selector: &str) -> Value {
    browser.evaluate(&format!(
        "[...document.querySelectorAll('{selector}')].map(element => element.textContent)"
    ))
}

#[track_caller]
fn assert_sound(browser: &Browser, url: &str) {
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
    let requests = browser.requests();
    assert!(requests.contains(&format!("{url}query")), "{requests:?}");
    for request in requests {
        assert!(request.starts_with(url) || request.starts_with("data:"), "{request}");
    }
}

/// A tag that would be markup, if the page made markup of it.
const MARKUP: &str = "<img src=x onerror=document.title='owned'>";

fn write_orders(server: &Server) {
    let shop = MARKUP.replace(' ', "\\ ").replace('=', "\\=");
    let mut lines = String::new();
    for minute in 0..3_u64 {
        let time = (1_700_000_000 + minute * 60) * 1_000_000_000;
        lines.push_str(&format!("orders,shop=a total={} {time}\n", minute + 1));
        lines.push_str(&format!("orders,shop={shop} total={}.5 {time}\n", 10 * minute));
    }
    server.client().write("trade", &lines);
}

#[test]
fn the_demo_is_drawn_live() {
    let Some(mut browser) = browser() else { return };
    let (_dir, _server, url) = start(&["--demo"]);
    browser.open(&url);
    let drawn =
        "[...document.querySelectorAll('#cards path.line')].map(line => line.getAttribute('d'))";
    for title in ["CPU", "Memory", "Load", "Network", "Disks", "This server"] {
        browser.wait_for(&format!(
            "[...document.querySelectorAll('#cards h3')].some(head => head.textContent === '{title}')"
        ));
    }
    // A line of cores needs three samples: shares of time between two, and two of those.
    browser.wait_for(&format!("({drawn}).filter(line => line.includes('L')).length >= 8"));
    let before = browser.evaluate(drawn);
    browser.wait_for(&format!("JSON.stringify({drawn}) !== {}", json!(before.to_string())));
    assert_eq!(text(&mut browser, "#state"), "live");
    let share = text(&mut browser, "#cards .now b");
    assert!(share.ends_with(" %"), "{share}");

    browser.click("#pause");
    browser.wait_for("document.getElementById('state').textContent === 'paused'");
    browser.click("#pause");
    browser.wait_for("document.getElementById('state').textContent === 'live'");

    // A page that nobody looks at asks for nothing. That it stays so has no event: two samples pass.
    let become_hidden = |is: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{value: {is}, configurable: true}});
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.evaluate(&become_hidden(true));
    browser.wait_for("document.getElementById('state').textContent === 'hidden'");
    let two_samples = "new Promise(done => setTimeout(done, 2500))";
    browser.evaluate(two_samples);
    let count = browser.requests().len();
    browser.evaluate(two_samples);
    assert_eq!(browser.requests().len(), count);
    browser.evaluate(&become_hidden(false));
    browser.wait_for("document.getElementById('state').textContent === 'live'");

    // Each card brings its query to the box.
    browser.click("#cards article:nth-child(2) button");
    browser.wait_for("document.querySelector('#results td') !== null");
    assert!(texts(&mut browser, "#results th").to_string().contains("used_percent"));
    assert_sound(&browser, &url);
}

#[test]
fn a_query_is_typed_and_answered_as_table_and_chart() {
    let Some(mut browser) = browser() else { return };
    let (_dir, server, url) = start(&[]);
    write_orders(&server);
    browser.open(&url);
    choose(&mut browser, "zone", "utc");
    choose(&mut browser, "db", "trade");
    browser.click("#q");
    fill(&mut browser, "SELECT total FROM orders GROUP BY shop");
    run(&mut browser);

    assert_eq!(texts(&mut browser, "#results th"), json!(["shop", "time UTC", "total"]));
    let rows = "[...document.querySelectorAll('#results tbody tr')].map(
        row => [...row.cells].map(cell => cell.textContent))";
    let rows = browser.evaluate(rows);
    // In the order of bytes `<` comes before `a`.
    assert_eq!(rows[0], json!([MARKUP, "2023-11-14 22:13:20.000", "0.5"]));
    assert_eq!(rows[5], json!(["a", "2023-11-14 22:15:20.000", "3"]));
    assert_eq!(rows.as_array().unwrap().len(), 6);
    assert_eq!(browser.evaluate("document.images.length"), json!(0), "names stay text");
    assert_ne!(browser.evaluate("document.title"), json!("owned"));
    let summary = text(&mut browser, "#summary");
    assert!(summary.starts_with("6 rows in 2 series, ") && summary.ends_with(" ms"), "{summary}");

    choose(&mut browser, "zone", "local");
    assert_eq!(text(&mut browser, "#results td:nth-child(2)"), "2023-11-15 03:58:20.000");
    choose(&mut browser, "zone", "utc");
    let lines = "document.querySelectorAll('#results path.line').length";
    browser.wait_for(&format!("{lines} === 2"));
    let legend = texts(&mut browser, "#results .legend button");
    assert_eq!(legend, json!([format!("total shop={MARKUP}"), "total shop=a"]));
    let axis = texts(&mut browser, "#results .plot text").to_string();
    assert!(axis.contains("22:14") && axis.contains("\"20\""), "{axis}");
    browser.point_at("#results .plot");
    browser.wait_for("document.querySelector('#results .tip')?.hidden === false");
    let tip = texts(&mut browser, "#results .tip div");
    assert_eq!(tip[0], json!("2023-11-14 22:14:20.000"), "the middle of the chart");
    assert_eq!(
        (&tip[1], &tip[2]),
        (&json!(format!("total shop={MARKUP}10.5")), &json!("total shop=a2"))
    );
    browser.click("#results .legend button");
    browser.wait_for(&format!("{lines} === 1"));

    fill(&mut browser, "SHOW DATABASES; SELECT count(total) FROM orders");
    run(&mut browser);
    assert_eq!(texts(&mut browser, "#results section > h3"), json!(["Statement 1", "Statement 2"]));
    browser.press("ArrowUp", 38, false);
    browser.press("ArrowUp", 38, false);
    let text = browser.evaluate("document.getElementById('q').value");
    assert_eq!(text, json!("SELECT total FROM orders GROUP BY shop"), "the one before the last");
    assert_sound(&browser, &url);
}

#[test]
fn long_answers_are_cut_and_counted() {
    let Some(mut browser) = browser() else { return };
    let (_dir, server, url) = start(&[]);
    let lines: String = (0..20)
        .flat_map(|host| (0..50).map(move |time| format!("m,host=h{host} v={time} {time}000000\n")))
        .collect();
    server.client().write("d", &lines);
    browser.open(&format!("{url}#q={}&db=d", escape("SELECT v FROM m GROUP BY host")));
    browser.wait_for("document.querySelector('#results td') !== null");
    assert_eq!(
        browser.evaluate("document.querySelectorAll('#results tbody tr').length"),
        json!(500)
    );
    let notes = texts(&mut browser, "#results .note");
    assert_eq!(notes, json!(["12 of 20 lines drawn.", "500 of 1,000 rows shown."]));
    assert_sound(&browser, &url);
}

#[test]
fn errors_are_shown_where_they_are() {
    let Some(mut browser) = browser() else { return };
    let (_dir, server, url) = start(&[]);
    server.client().write("d", "m v=1 1");
    browser.open(&url);
    browser.wait_for("document.getElementById('no-demo').hidden === false");
    let command = format!("curl -i '{url}write?db=mydb' --data-binary 'cpu,host=a usage=0.64'");
    assert_eq!(text(&mut browser, "#no-demo .curl"), command);

    choose(&mut browser, "db", "d");
    for (query, wrong) in [
        ("SELECT mean(v)\n  FRON m", "FRON"),
        ("SELECT v FROM m; SELECT nothing(v) FROM m", "nothing(v)"),
        // The server counts characters: these are two and four UTF-16 units.
        ("SELECT '\u{1f600}\u{1f600}', v FRON m", "FRON"),
    ] {
        fill(&mut browser, query);
        run(&mut browser);
        let form = format!("db=d&epoch=ms&q={}", escape(query));
        let form_type = ("Content-Type", "application/x-www-form-urlencoded");
        let answer = server.client().request("POST", "/query", &[form_type], form.as_bytes());
        let answer = answer.unwrap().json();
        let results = answer["results"].as_array().into_iter().flatten();
        let error = results.map(|result| &result["error"]).find(|error| error.is_string());
        let error = error.unwrap_or(&answer["error"]).as_str().unwrap().to_owned();
        assert_eq!(text(&mut browser, "#error pre"), error, "word for word, with its carets");
        assert_eq!(texts(&mut browser, "#error .caret"), json!([error.lines().nth(2).unwrap()]));
        assert_eq!(texts(&mut browser, "#marks mark"), json!([wrong]), "in the box too");
        browser.click("#error button");
        let chosen = "q.value.slice(q.selectionStart, q.selectionEnd)";
        let chosen = format!("(q => {chosen})(document.getElementById('q'))");
        assert_eq!(browser.evaluate(&chosen), json!(wrong));
    }
    // Carets point at their place only where all characters are of the same width.
    let font = "getComputedStyle(document.querySelector('#error pre')).fontFamily";
    assert!(browser.evaluate(font).as_str().unwrap().contains("monospace"));
    let hidden = "document.getElementById('error').hidden";
    fill(&mut browser, "SELECT v FROM m");
    run(&mut browser);
    assert_eq!(browser.evaluate(hidden), json!(true));
    assert_sound(&browser, &url);

    server.kill();
    run(&mut browser);
    assert_eq!(browser.evaluate(hidden), json!(false));
    let shown = text(&mut browser, "#error");
    assert!(shown.contains("No answer") && shown.contains("Is the server running?"), "{shown}");
    browser.wait_for("document.getElementById('state').textContent === 'no answer'");
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
}

#[test]
fn a_busy_server_is_told_from_a_wrong_query() {
    let Some(mut browser) = browser() else { return };
    let (_dir, _server, url) = start(&[]);
    browser.open(&url);
    browser.wait_for("document.getElementById('state').textContent === 'ready'");
    // From here on every query gets what a server without free turns says.
    browser.call("Fetch.enable", json!({"patterns": [{"urlPattern": "*/query"}]}));
    fill(&mut browser, "SHOW QUERIES");
    browser.press("Enter", 13, true);
    loop {
        let paused = browser.event("Fetch.requestPaused");
        let body = "eyJlcnJvciI6InRvbyBtYW55IHF1ZXJpZXMgYXQgb25jZSJ9"; // {"error":"too many queries at once"}
        browser.call(
            "Fetch.fulfillRequest",
            json!({"requestId": paused["requestId"], "responseCode": 503, "body": body,
                   "responseHeaders": [{"name": "Retry-After", "value": "7"}]}),
        );
        if paused["request"]["postData"].as_str().is_some_and(|form| form.contains("QUERIES")) {
            break;
        }
    }
    browser.wait_for("document.getElementById('error').hidden === false");
    let shown = text(&mut browser, "#error");
    for part in ["503 ", "too many queries at once", "try again in 7 s"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert_sound(&browser, &url);
}

#[test]
fn links_bring_a_query_along_and_change_nothing_by_themselves() {
    let Some(mut browser) = browser() else { return };
    let (_dir, server, url) = start(&[]);
    server.client().write("d", "m v=7 1");
    browser.open(&format!("{url}#q={}&db=d", escape("SELECT v FROM m")));
    browser.wait_for("document.querySelector('#results td') !== null");
    assert_eq!(text(&mut browser, "#results tr > :last-child"), "v");
    assert_eq!(text(&mut browser, "#results td:last-child"), "7");

    let databases = |server: &Server| server.client().query("", "SHOW DATABASES").to_string();
    let harm = format!("{url}#q={}&db=d", escape("SELECT v FROM m; DROP DATABASE d"));
    browser.open(&harm);
    browser.wait_for("document.getElementById('error').hidden === false");
    let shown = text(&mut browser, "#error");
    assert!(shown.contains("403") && shown.contains("it was not run"), "{shown}");
    assert!(databases(&server).contains("\"d\""), "a link drops nothing");
    browser.click("#run");
    browser.wait_for("document.getElementById('error').hidden");
    assert!(!databases(&server).contains("\"d\""), "a person may");
    assert_sound(&browser, &url);
}

#[test]
fn other_sites_get_no_page() {
    let (_dir, server, _) = start(&[]);
    let mut client = server.client();
    for (host, status) in [("localhost", 200), ("evil.example", 403)] {
        let response = client.request("GET", "/", &[("Host", host)], &[]).unwrap();
        assert_eq!(response.status, status, "{host}");
        let is_page = response.header("content-type") == Some("text/html; charset=utf-8");
        assert_eq!(is_page, status == 200, "{host}");
    }
}
