//! Arbitrary trees come back when they are printed and parsed.

use proptest::{collection::vec, option, prelude::*};

use crate::{
    ast::{
        BinaryOp, Call, Cast, ContinuousQuery, Counted, Dimension, Expr, Field, Fill, Identifier,
        KeyFilter, Literal, Measurement, MeasurementName, Order, Page, PolicyOptions,
        RetentionDuration, Select, ShowCardinality, ShowScope, Source, Span, Statement, Target,
        TargetName, Window, WindowOffset, Zone,
    },
    parse,
};

const SPAN: Span = Span::new(0, 0);

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z_][a-zA-Z0-9_]{0,6}",
        1 => prop::sample::select(vec!["from", "Key", "exact", "fill", "TIME", "inf", "or", "distinct", "kill", "end", "Begin"])
            .prop_map(str::to_owned),
        1 => "[ -~äß\n]{1,6}",
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    "[ -~äß\n]{0,8}"
}

/// Patterns as literals give them: a slash has no backslash before it.
fn any_pattern() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!["a", "/", ".", "\\\\", "\\d", " ", "'", "\"", "é"]), 1..5)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("// would begin no regex, /* a comment", |p| !p.starts_with('*'))
}

fn any_cast() -> impl Strategy<Value = Option<Cast>> {
    option::weighted(0.2, prop::sample::select(Cast::ALL.map(|(_, cast)| cast).to_vec()))
}

fn any_identifier() -> impl Strategy<Value = Identifier> {
    (any_name(), any_cast()).prop_map(|(name, cast)| Identifier { name, cast, span: SPAN })
}

fn any_literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        any::<i64>().prop_map(Literal::Integer),
        Just(Literal::Integer(i64::MIN)),
        any::<u64>().prop_map(Literal::from_unsigned),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Literal::Number),
        any_text().prop_map(Literal::String),
        (-i64::MAX..=i64::MAX).prop_map(Literal::Duration),
        (-100_i64..100).prop_map(|n| Literal::Duration(n * 3_600_000_000_000)),
        any::<bool>().prop_map(Literal::Boolean),
    ]
}

fn any_binary_op() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::{Add, BitAnd, BitOr, BitXor, Div, Eq, Ge, Gt, Le, Lt, Mod, Mul, Ne, Sub};
    prop::sample::select(vec![
        Eq, Ne, Lt, Le, Gt, Ge, Add, Sub, BitOr, BitXor, Mul, Div, Mod, BitAnd,
    ])
}

fn any_expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        3 => any_identifier().prop_map(Expr::Identifier),
        2 => any_literal().prop_map(|value| Expr::Literal { value, span: SPAN }),
        1 => any_cast().prop_map(|cast| Expr::Wildcard { cast, span: SPAN }),
        1 => any_pattern().prop_map(|pattern| Expr::Regex { pattern, span: SPAN }),
    ];
    leaf.prop_recursive(5, 32, 3, |inner| {
        prop_oneof![
            4 => (inner.clone(), any_binary_op(), inner.clone())
                .prop_map(|(left, op, right)| Expr::binary(left, op, right, SPAN)),
            1 => (inner.clone(), inner.clone()).prop_map(|(left, right)| Expr::and(left, right)),
            1 => (inner.clone(), inner.clone()).prop_map(|(left, right)| Expr::or(left, right)),
            1 => inner.clone().prop_map(|expr| Expr::negate(expr, SPAN)),
            1 => (inner.clone(), any::<bool>(), any_pattern()).prop_map(
                |(expr, negated, pattern)| Expr::RegexMatch {
                    expr: Box::new(expr), negated, pattern, span: SPAN,
                }
            ),
            1 => (any_name(), vec(inner, 0..3)).prop_map(|(name, args)| {
                Expr::Call(Call { name: name.to_ascii_lowercase(), args, span: SPAN })
            }),
        ]
    })
}

fn any_measurement() -> impl Strategy<Value = Measurement> {
    let name = prop_oneof![
        3 => any_name().prop_map(MeasurementName::Name),
        1 => any_pattern().prop_map(MeasurementName::Regex),
    ];
    (option::of(any_name()), option::of(any_name()), name)
        .prop_map(|(database, policy, name)| Measurement { database, policy, name, span: SPAN })
}

/// A name of what is read needs a place before it.
fn any_target() -> impl Strategy<Value = Target> {
    let name = prop_oneof![
        3 => any_name().prop_map(TargetName::Name),
        1 => Just(TargetName::Source),
    ];
    let place = (option::of(any_name()), option::of(any_name()), name);
    place.prop_filter_map("bare reference", |(database, policy, name)| {
        let is_bare = database.is_none() && policy.is_none() && name == TargetName::Source;
        (!is_bare).then_some(Target { database, policy, name, span: SPAN })
    })
}

fn any_page() -> impl Strategy<Value = Page> {
    let bound = || option::weighted(0.3, 1_u64..);
    (bound(), bound(), bound(), bound()).prop_map(|(limit, offset, series_limit, series_offset)| {
        Page { limit, offset, series_limit, series_offset }
    })
}

fn any_dimension() -> impl Strategy<Value = Dimension> {
    let offset = prop_oneof![
        (-i64::MAX..=i64::MAX).prop_map(WindowOffset::Ns),
        Just(WindowOffset::Ns(0)),
        Just(WindowOffset::Now),
    ];
    prop_oneof![
        (1..=i64::MAX, offset).prop_map(|(every_ns, offset)| Dimension::Time(Window {
            every_ns,
            offset,
            span: SPAN
        })),
        any_identifier()
            .prop_filter("time is no tag", |name| !name.is_time())
            .prop_map(Dimension::Tag),
        Just(Dimension::Wildcard { span: SPAN }),
        any_pattern().prop_map(|pattern| Dimension::Regex { pattern, span: SPAN }),
    ]
}

fn any_fill() -> impl Strategy<Value = Fill> {
    prop_oneof![
        Just(Fill::Null),
        Just(Fill::None),
        Just(Fill::Previous),
        Just(Fill::Linear),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Fill::Number),
    ]
}

fn any_select() -> BoxedStrategy<Select> {
    let source = any_measurement().prop_map(Source::Measurement).boxed();
    let flat = any_select_from(source.clone()).boxed();
    let subquery = flat.prop_map(|select| Source::Subquery(Box::new(select)));
    any_select_from(prop_oneof![4 => source, 1 => subquery].boxed()).boxed()
}

fn any_select_from(source: BoxedStrategy<Source>) -> impl Strategy<Value = Select> {
    let field =
        (any_expr(), option::of(any_name())).prop_map(|(expr, alias)| Field { expr, alias });
    let zone = Just(Zone { name: "Europe/Berlin".to_owned(), span: SPAN });
    (
        (vec(field, 1..3), option::weighted(0.2, any_target())),
        (vec(source, 1..3), option::of(any_expr()), vec(any_dimension(), 0..3)),
        (any_fill(), any::<bool>(), any_page(), option::weighted(0.1, zone)),
    )
        .prop_map(|((fields, target), (sources, condition, dimensions), rest)| {
            let (fill, descending, page, zone) = rest;
            let order = if descending { Order::Descending } else { Order::Ascending };
            Select { fields, target, sources, condition, dimensions, fill, order, page, zone }
        })
}

fn any_scope() -> impl Strategy<Value = ShowScope> {
    (option::of(any_name()), vec(any_measurement(), 0..3), option::of(any_expr()), any_page())
        .prop_map(|(database, measurements, condition, page)| ShowScope {
            database,
            measurements,
            condition,
            page,
        })
}

fn any_keys() -> impl Strategy<Value = KeyFilter> {
    prop_oneof![
        any_name().prop_map(KeyFilter::Equal),
        any_name().prop_map(KeyFilter::NotEqual),
        vec(any_name(), 1..3).prop_map(KeyFilter::In),
        any_pattern().prop_map(|pattern| KeyFilter::Matches { pattern, span: SPAN }),
        any_pattern().prop_map(|pattern| KeyFilter::NotMatches { pattern, span: SPAN }),
    ]
}

fn any_counted() -> impl Strategy<Value = Counted> {
    prop_oneof![
        Just(Counted::Series),
        Just(Counted::Measurements),
        Just(Counted::TagKeys),
        Just(Counted::FieldKeys),
        any_keys().prop_map(Counted::TagValues),
    ]
}

fn any_duration() -> impl Strategy<Value = RetentionDuration> {
    prop_oneof![Just(RetentionDuration::Forever), (1..=i64::MAX).prop_map(RetentionDuration::Ns),]
}

/// Options of a policy, at least the duration.
fn any_options() -> impl Strategy<Value = PolicyOptions> {
    (any_duration(), option::of(any::<u64>()), option::of(0..=i64::MAX)).prop_map(
        |(duration, replication, shard_duration_ns)| PolicyOptions {
            duration: Some(duration),
            replication,
            shard_duration_ns,
            ..PolicyOptions::default()
        },
    )
}

fn any_management() -> impl Strategy<Value = Statement> {
    prop_oneof![
        Just(Statement::ShowDatabases),
        Just(Statement::ShowQueries),
        Just(Statement::ShowContinuousQueries),
        (any_name(), any_name())
            .prop_map(|(name, database)| Statement::DropContinuousQuery { name, database }),
        (any::<u64>(), option::of(any_name()))
            .prop_map(|(id, host)| Statement::KillQuery { id, host }),
        (option::of(any_name()), option::of(any::<u64>()))
            .prop_map(|(database, limit)| Statement::ShowRejects { database, limit }),
        option::of(any_text()).prop_map(|module| Statement::ShowStats { module }),
        option::of(any_text()).prop_map(|module| Statement::ShowDiagnostics { module }),
        Just(Statement::ShowShards),
        Just(Statement::ShowShardGroups),
        option::of(any_name()).prop_map(|database| Statement::ShowRetentionPolicies { database }),
        (any_name(), option::of((any_options(), option::of(any_name())))).prop_map(
            |(name, policy)| Statement::CreateDatabase {
                name,
                policy: policy.map(|(options, name)| PolicyOptions { name, ..options }),
            }
        ),
        any_name().prop_map(|name| Statement::DropDatabase { name }),
        (any_name(), any_name(), any_options(), any::<bool>()).prop_map(
            |(name, database, options, default)| {
                let options = PolicyOptions { default, ..options };
                Statement::CreateRetentionPolicy { name, database, options }
            }
        ),
        (any_name(), any_name(), any_options()).prop_map(|(name, database, options)| {
            Statement::AlterRetentionPolicy { name, database, options }
        }),
        (any_name(), any_name())
            .prop_map(|(name, database)| Statement::DropRetentionPolicy { name, database }),
        any_name().prop_map(|name| Statement::DropMeasurement { name }),
    ]
}

/// A continuous query with a target and a window, whose FOR is never too short.
fn any_continuous_query() -> impl Strategy<Value = ContinuousQuery> {
    let resample = (option::of(1..=1_i64 << 40), option::of(1_i64 << 41..=i64::MAX));
    let window = Window { every_ns: 60_000_000_000, offset: WindowOffset::Ns(0), span: SPAN };
    let names = (any_name(), any_name());
    (names, any_select(), any_target(), resample).prop_map(
        move |((name, database), mut select, target, (every_ns, for_ns))| {
            select.target = Some(target);
            select.dimensions.insert(0, Dimension::Time(window.clone()));
            ContinuousQuery { name, database, every_ns, for_ns, select: Box::new(select) }
        },
    )
}

fn any_statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        4 => any_select().prop_map(|select| Statement::Select(Box::new(select))),
        1 => (any::<bool>(), any_select()).prop_map(|(analyze, select)| {
            Statement::Explain { analyze, select: Box::new(select) }
        }),
        1 => any_scope().prop_map(|mut scope| {
            scope.measurements.truncate(1);
            Statement::ShowMeasurements(scope)
        }),
        1 => any_scope().prop_map(Statement::ShowTagKeys),
        1 => any_scope().prop_map(Statement::ShowSeries),
        1 => any_scope().prop_map(|scope| {
            Statement::ShowFieldKeys(ShowScope { condition: None, ..scope })
        }),
        1 => (any_counted(), any::<bool>(), any_scope(), vec(any_dimension(), 0..3)).prop_map(
            |(counted, exact, scope, dimensions)| {
                let statement = ShowCardinality { counted, exact, scope, dimensions };
                Statement::ShowCardinality(Box::new(statement))
            }
        ),
        1 => (any_scope(), any_keys())
            .prop_map(|(scope, keys)| Statement::ShowTagValues { scope, keys }),
        1 => (vec(any_measurement(), 1..3), option::of(any_expr()))
            .prop_map(|(measurements, condition)| Statement::Delete { measurements, condition }),
        1 => (vec(any_measurement(), 0..3), any_expr()).prop_map(|(measurements, condition)| {
            Statement::DropSeries { measurements, condition: Some(condition) }
        }),
        1 => any_continuous_query()
            .prop_map(|query| Statement::CreateContinuousQuery(Box::new(query))),
        3 => any_management(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_statement_parses_to_itself(statement in any_statement()) {
        let text = statement.to_string();
        match parse(&text) {
            Ok(parsed) => prop_assert_eq!(parsed, vec![statement], "{}", text),
            Err(errors) => prop_assert!(false, "{}\n{}", text, errors),
        }
    }
}
