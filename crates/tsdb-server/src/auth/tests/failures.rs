//! The counts of who was not let in.

use super::*;

#[tokio::test]
async fn who_is_not_let_in_is_counted_by_what_was_wrong() {
    let fixture = Fixture::empty(None);
    let first = "CREATE USER admin WITH PASSWORD 'pw-admin' WITH ALL PRIVILEGES";
    // No credential is wrong where there is nobody yet whose it could be.
    for (kind, statement) in [("reader", "SHOW USERS"), ("none", "SHOW USERS"), ("reader", first)] {
        fixture.query(kind, "", statement).await;
    }
    let counts = || fixture.app.auth().failures().map(|(_, count)| count);
    assert_eq!(counts(), [0; 3]);
    let ask = async |path: &str, authorization: &str, form: &'static str| {
        let request = Request::post(path)
            .header("host", "localhost")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("authorization", authorization);
        fixture.send(request.body(Body::from(form)).unwrap()).await.status().as_u16()
    };
    let admin = fixture.authorization("admin", false).unwrap();
    for (path, authorization, form, status, due) in [
        ("/query", admin.as_str(), "q=SHOW+USERS", 200, [0, 0, 0]),
        ("/query", "", "q=SHOW+USERS&u=admin&p=pw-admin", 200, [0, 0, 0]),
        ("/write?db=d", "Token admin:wrong", "", 401, [1, 0, 0]),
        ("/query", "Token nobody:pw-admin", "q=SHOW+USERS", 401, [2, 0, 0]),
        ("/query", "", "q=SHOW+USERS&u=admin&p=wrong", 401, [3, 0, 0]),
        ("/write?db=d", "Bearer unknown", "", 401, [3, 1, 0]),
        ("/write?db=d", "", "", 401, [3, 1, 1]),
        ("/query", "", "q=SHOW+USERS", 401, [3, 1, 2]),
        ("/ping", "Token admin:wrong", "", 405, [3, 1, 2]),
    ] {
        assert_eq!(ask(path, authorization, form).await, status, "{path} {authorization} {form}");
        assert_eq!(counts(), due, "{path} {authorization} {form}");
    }
    // Whoever has been wrong too often is not looked at.
    let mut looked_at = 0;
    for _ in 0..20 {
        match ask("/query", "Token admin:wrong", "q=SHOW+USERS").await {
            401 => looked_at += 1,
            status => assert_eq!(status, 503),
        }
    }
    assert!((1..20).contains(&looked_at), "{looked_at}");
    assert_eq!(counts(), [3 + looked_at, 1, 2]);
    let shown = fixture.app.render_metrics();
    let line = format!("\ntsdb_auth_failures_total{{kind=\"user\"}} {}\n", 3 + looked_at);
    assert!(shown.contains(&line), "{shown}");
}
