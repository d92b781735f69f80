//! `docs/guarantees.md` names tests and models: each of them exists, and so do the patches of
//! `.ci/planted`.

use std::fs;
use std::path::Path;

/// Folders in which what the page names may stand.
const PLACES: [&str; 4] = ["tests/", "loom-tests/", "src/", ".ci/"];

#[test]
fn what_the_page_names_exists() {
    let page = read("docs/guarantees.md");
    // What stands between backticks has an odd place.
    let named = page.split('`').skip(1).step_by(2);
    let named = named.filter(|name| PLACES.iter().any(|place| name.starts_with(place)));
    let mut count = 0;
    let mut missing = Vec::new();
    for name in named {
        count += 1;
        let name = name.split(' ').next().unwrap();
        let (path, function) = name.split_once("::").unwrap_or((name, ""));
        let exists = match function {
            "" => root().join(path).exists(),
            _ => is_a_test(path, function),
        };
        if !exists {
            missing.push(name);
        }
    }
    assert!(count > 50, "only {count} tests are named");
    assert!(missing.is_empty(), "there is no {missing:#?}");
}

#[test]
fn ten_bugs_are_planted() {
    let list = read(".ci/planted");
    let patches: Vec<_> = list.lines().filter(|line| line.ends_with(".patch")).collect();
    assert_eq!(patches.len(), 10);
    for patch in patches {
        let text = read(patch);
        assert!(text.starts_with("# breaks: ") || text.starts_with("# fails: "), "{patch}");
    }
}

/// Tells whether there is a test of this name in that file.
fn is_a_test(path: &str, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(root().join(path)) else { return false };
    let head = format!("fn {name}()");
    let mut after_mark = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with(&head) && after_mark {
            return true;
        }
        after_mark = line == "#[test]" || (after_mark && line.starts_with("#["));
    }
    false
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
