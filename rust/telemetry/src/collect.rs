//! Samples as values, for whoever does not want text: the Python collector, `top`, tests.

use crate::series::Kind;
use crate::store::Store;
use crate::value::values;

/// One family as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct FamilySamples {
    /// The name, without the `_total` of counters.
    pub name: String,
    /// What it measures, in a sentence.
    pub help: String,
    /// How it measures.
    pub kind: Kind,
    /// The names of the labels.
    pub label_names: Vec<String>,
    /// Every line of the exposition.
    pub samples: Vec<Sample>,
}

/// One line of the exposition.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What follows the family's name: `_total`, `_bucket`, `_count`, `_sum` or nothing.
    pub suffix: &'static str,
    /// The label values, in the order of the names.
    pub labels: Vec<String>,
    /// The bound of a `_bucket`.
    pub le: Option<String>,
    /// The value.
    pub value: f64,
}

pub(crate) fn family(family: &Store) -> FamilySamples {
    let definition = &family.definition;
    let mut samples = Vec::new();
    for series in family.all() {
        let labels: Vec<String> = series.labels.iter().map(ToString::to_string).collect();
        let mut lines = definition.lines.iter();
        values(definition, &series.block, series.seat, |value| {
            if let Some(line) = lines.next() {
                samples.push(Sample {
                    suffix: line.suffix,
                    labels: labels.clone(),
                    le: line.le.as_deref().map(str::to_owned),
                    value: value.as_float(),
                });
            }
        });
    }
    FamilySamples {
        name: definition.name.to_string(),
        help: definition.help.to_string(),
        kind: definition.kind,
        label_names: definition.labels.iter().map(ToString::to_string).collect(),
        samples,
    }
}
