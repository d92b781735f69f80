//! How does the cost of one operation grow: with workers, tasks, timers, connections?
//!
//! `cargo bench --bench growth` prints a curve for each, and writes all of them to
//! `target/growth.tsv` and a chart of each to `target/growth_*.svg`; with `--save` to `docs` as
//! well. More workers than cores compete for them, so a cost is CPU time of all threads, and
//! beside it how often a thread went to sleep, not time.

#[path = "../common/mod.rs"]
mod common;
#[path = "../work/mod.rs"]
mod work;

mod chart;
mod curves;
mod measure;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use common::Options;
use measure::Curve;

fn main() {
    let options = Options::read();
    println!("ns of CPU per operation, medians of {} rounds", options.rounds.min(3));
    let curves = curves::all(&options);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    save(&root.join("target"), &curves);
    if options.save {
        save(&root.join("docs"), &curves);
    }
}

fn save(folder: &Path, curves: &[Curve]) {
    fs::create_dir_all(folder).expect("the folder can be made");
    let mut files = vec![("growth.tsv".to_owned(), tsv(curves))];
    let mut axes: Vec<&str> = curves.iter().map(|curve| curve.axis).collect();
    axes.dedup();
    for axis in axes {
        let of_axis: Vec<&Curve> = curves.iter().filter(|curve| curve.axis == axis).collect();
        files.push((format!("growth_{axis}.svg"), chart::panels(&of_axis, chart::CPU)));
        if axis == "workers" {
            let text = chart::panels(&of_axis, chart::SLEEPS);
            files.push(("growth_sleeps.svg".to_owned(), text));
        }
    }
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).expect("the file can be written");
        println!("wrote {}", path.display());
    }
}

fn tsv(curves: &[Curve]) -> String {
    let mut text = String::from("axis\tat\twork\tengine\tns CPU\tsleeps of threads\n");
    for curve in curves {
        for line in &curve.lines {
            for point in &line.points {
                let (axis, name, engine) = (curve.axis, curve.name, line.engine);
                let (cpu, sleeps) = (point.cpu, point.sleeps);
                writeln!(text, "{axis}\t{}\t{name}\t{engine}\t{cpu:.1}\t{sleeps:.4}", point.at)
                    .unwrap();
            }
        }
    }
    text
}
