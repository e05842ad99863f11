//! Each word that is checked, and schemas that are out to harm.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn problems(schema: &Value, value: &Value) -> Vec<String> {
    match Checker::new(schema).check(value) {
        Ok(()) => Vec::new(),
        Err(Unfit::Problems(problems)) => problems,
        Err(Unfit::TooCostly) => panic!("too costly: {schema}"),
    }
}

#[test]
fn a_pattern_is_compiled_once_for_a_long_list() {
    let schema = json!({"items": {"type": "string", "pattern": "^[a-z]{2}-[0-9]+$"}});
    let words: Vec<String> = (0..1000).map(|number| format!("ab-{number}")).collect();
    assert_eq!(problems(&schema, &json!(words)), [""; 0]);
    assert_eq!(problems(&schema, &json!([words.as_slice(), &["ab-".to_owned()]].concat())).len(), 1);
}

/// Each schema with values that fit and values that do not.
#[test]
fn every_word_that_is_checked_takes_what_fits_and_refuses_what_does_not() {
    for (schema, fit, unfit) in [
        (json!(true), vec![json!(1), json!(null)], vec![]),
        (json!(false), vec![], vec![json!(1)]),
        (json!({"type": "integer"}), vec![json!(1), json!(1.0), json!(-3)], vec![json!(1.5), json!("1"), json!(null)]),
        (json!({"type": "number"}), vec![json!(1), json!(1.5)], vec![json!("1"), json!(true)]),
        (json!({"type": ["string", "null"]}), vec![json!("a"), json!(null)], vec![json!(0), json!([])]),
        (
            json!({"enum": [1, "a", [2]]}),
            vec![json!(1.0), json!("a"), json!([2])],
            vec![json!(2), json!("b"), json!([])],
        ),
        (json!({"const": {"a": 1}}), vec![json!({"a": 1.0})], vec![json!({"a": 2}), json!({"a": 1, "b": 1}), json!(1)]),
        (json!({"minLength": 2, "maxLength": 3}), vec![json!("ää"), json!(1)], vec![json!("ä"), json!("aaaa")]),
        (json!({"pattern": "^a+$"}), vec![json!("aa"), json!(1)], vec![json!("ab")]),
        (json!({"minimum": 1, "maximum": 2}), vec![json!(1), json!(2), json!("x")], vec![json!(0.9), json!(2.1)]),
        (json!({"exclusiveMinimum": 1, "exclusiveMaximum": 2}), vec![json!(1.5)], vec![json!(1), json!(2)]),
        (json!({"multipleOf": 3}), vec![json!(9), json!(0), json!(-3)], vec![json!(4), json!(1.5)]),
        (json!({"multipleOf": 0.1}), vec![json!(0.3), json!(2)], vec![json!(0.35)]),
        (json!({"items": {"type": "integer"}}), vec![json!([1, 2]), json!([]), json!("x")], vec![json!([1, "a"])]),
        (
            json!({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}),
            vec![json!(["a", 1]), json!([]), json!(["a"])],
            vec![json!([1]), json!(["a", "b"])],
        ),
        (json!({"minItems": 1, "maxItems": 2}), vec![json!([1])], vec![json!([]), json!([1, 2, 3])]),
        (json!({"contains": {"const": 1}}), vec![json!([2, 1])], vec![json!([]), json!([2])]),
        (json!({"contains": {"const": 1}, "maxContains": 1}), vec![json!([1])], vec![json!([1, 1])]),
        (json!({"contains": {"const": 1}, "minContains": 0}), vec![json!([])], vec![]),
        (
            json!({"uniqueItems": true}),
            vec![json!([1, "1", [1], {"a": 1}]), json!([])],
            vec![json!([1, 1.0]), json!([{"a": 1, "b": 2}, {"b": 2, "a": 1}])],
        ),
        (json!({"required": ["a"]}), vec![json!({"a": null}), json!([])], vec![json!({}), json!({"b": 1})]),
        (
            json!({"properties": {"a": {"type": "integer"}}, "additionalProperties": false}),
            vec![json!({"a": 1}), json!({})],
            vec![json!({"a": "x"}), json!({"b": 1})],
        ),
        (
            json!({"patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": {"type": "integer"}}),
            vec![json!({"x-a": "b", "c": 1})],
            vec![json!({"x-a": 1}), json!({"c": "d"})],
        ),
        (json!({"propertyNames": {"maxLength": 1}}), vec![json!({"a": 1})], vec![json!({"ab": 1})]),
        (
            json!({"minProperties": 1, "maxProperties": 1}),
            vec![json!({"a": 1})],
            vec![json!({}), json!({"a": 1, "b": 2})],
        ),
        (json!({"dependentRequired": {"a": ["b"]}}), vec![json!({"a": 1, "b": 1}), json!({})], vec![json!({"a": 1})]),
        (
            json!({"dependentSchemas": {"a": {"required": ["b"]}}}),
            vec![json!({"a": 1, "b": 1}), json!({"c": 1})],
            vec![json!({"a": 1})],
        ),
        (json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}), vec![json!(1)], vec![json!(0), json!(3)]),
        (json!({"anyOf": [{"type": "string"}, {"minimum": 5}]}), vec![json!("a"), json!(5)], vec![json!(4)]),
        (json!({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}), vec![json!(2), json!(3)], vec![json!(6), json!(1)]),
        (json!({"not": {"type": "string"}}), vec![json!(1)], vec![json!("a")]),
        (
            json!({"if": {"minimum": 10}, "then": {"multipleOf": 10}, "else": {"multipleOf": 1}}),
            vec![json!(20), json!(3)],
            vec![json!(15), json!(1.5)],
        ),
        (
            json!({"$defs": {"a/b": {"type": "integer"}}, "properties": {"x": {"$ref": "#/$defs/a~1b"}}}),
            vec![json!({"x": 1})],
            vec![json!({"x": "1"})],
        ),
        // A tree: a schema may refer to itself.
        (
            json!({"properties": {"below": {"$ref": "#"}, "name": {"type": "string"}}, "additionalProperties": false}),
            vec![json!({"below": {"below": {"name": "a"}}})],
            vec![json!({"below": {"below": {"name": 1}}})],
        ),
        // Annotations, what is left to the engine, and what is no schema.
        (json!({"format": "email", "title": 1, "x-unit": []}), vec![json!("no address")], vec![]),
        (json!({"$ref": "https://example.org/schema.json"}), vec![json!(1)], vec![]),
        (json!({"$ref": "file:///etc/passwd"}), vec![json!(1)], vec![]),
        (json!({"unevaluatedProperties": false, "pattern": "(?=a)"}), vec![json!({"a": 1}), json!("b")], vec![]),
        (
            json!({"type": 5, "items": 7, "allOf": {}, "required": "a", "enum": "a"}),
            vec![json!([1]), json!({})],
            vec![],
        ),
        (json!([]), vec![json!(1)], vec![]),
    ] {
        for value in fit {
            assert_eq!(problems(&schema, &value), [""; 0], "{schema} does not take {value}");
        }
        for value in unfit {
            assert_ne!(problems(&schema, &value), [""; 0], "{schema} takes {value}");
        }
    }
}

#[test]
fn problems_name_the_place_and_are_few_and_short() {
    let schema = json!({
        "properties": {"a": {"properties": {"list": {"items": {"maximum": 3}}}}, "mode": {"enum": ["x", "y"]}},
        "required": ["needed"],
        "additionalProperties": false,
    });
    let told = problems(&schema, &json!({"a": {"list": [1, 5]}, "mode": "z", "b\u{1b}[2J": 1}));
    assert_eq!(told.len(), 4, "{told:?}");
    for part in [
        "`a.list[1]` is more than 3",
        r#"`mode` must be one of "x", "y""#,
        r"there is no `b\u{1b}[2J`; there are `a`, `mode`",
        "`needed` is missing",
    ] {
        assert!(told.iter().any(|told| told == part), "{part}: {told:?}");
    }
    let one = json!({"properties": {"secrets": {}}, "additionalProperties": false});
    assert_eq!(problems(&one, &json!({"secret": 1})), ["there is no `secret`; the only one is `secrets`"]);
    let many: Value = (0..1000).map(|number| (format!("{number}{}", "x".repeat(5000)), Value::Null)).collect();
    let told = problems(&json!({"additionalProperties": false}), &many);
    assert!(told.len() <= PROBLEMS_MAX && told.iter().all(|told| told.len() < 400));
    let optional = json!({"properties": {"a": {"anyOf": [{"type": "integer", "maximum": 9}, {"type": "null"}]}}});
    assert_eq!(problems(&optional, &json!({"a": 10})), ["`a` is more than 9"]);
    assert_eq!(problems(&optional, &json!({"a": "x"})), ["`a` must be an integer, and is a text"]);
}

#[test]
fn a_hostile_schema_ends_in_moments() {
    let nested = |depth: usize| {
        let mut schema = json!({"allOf": [true]});
        for _ in 0..depth {
            schema = json!({"allOf": [schema]});
        }
        schema
    };
    let wide: Vec<Value> = (0..20_000).map(|number| json!({"const": number})).collect();
    let long = Value::from("x".repeat(500_000));
    for (name, schema, value) in [
        ("a circle", json!({"$ref": "#"}), json!({})),
        (
            "a circle of two",
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}),
            json!({}),
        ),
        ("doubling", json!({"$defs": doubling_of(60), "$ref": "#/$defs/d0"}), json!({})),
        ("deep", nested(100), json!({})),
        (
            "wide",
            json!({"additionalProperties": {"oneOf": wide}}),
            (0..5000).map(|n| (n.to_string(), json!(n))).collect(),
        ),
        (
            "patterns",
            json!({"additionalProperties": {"pattern": "(x+x+)+y"}}),
            (0..5000).map(|n| (n.to_string(), json!("x".repeat(100)))).collect(),
        ),
        ("lengths", json!({"allOf": vec![json!({"maxLength": 1_000_000}); 5000]}), long),
        ("unique", json!({"allOf": vec![json!({"uniqueItems": true}); 5000]}), json!((0..50_000).collect::<Vec<_>>())),
    ] {
        let begun = Instant::now();
        let _any = Checker::new(&schema).check(&value);
        assert!(begun.elapsed() < Duration::from_secs(60), "{name} took {:?}", begun.elapsed());
    }
    assert_eq!(Checker::new(&json!({"$ref": "#"})).check(&json!({})), Err(Unfit::TooCostly));
    assert_eq!(
        Checker::new(&json!({"$defs": doubling_of(60), "$ref": "#/$defs/d0"})).check(&json!({})),
        Err(Unfit::TooCostly)
    );
}

fn doubling_of(levels: usize) -> Value {
    (0..levels)
        .map(|number| {
            let next = format!("#/$defs/d{}", number + 1);
            (format!("d{number}"), json!({"allOf": [{"$ref": &next}, {"$ref": &next}]}))
        })
        .collect()
}
