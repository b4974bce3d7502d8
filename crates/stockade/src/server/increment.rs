//! `set JAIL bantime.… VALUE`: the options by which bans of known offenders grow, read once and checked when they are set.

use stockade_core::formula::{Formula, FormulaError, Number, Variables};
use stockade_core::{JailSettings, Seconds};
use stockade_protocol::{ErrorClass, RemoteError, TimeSpan, Value};

use super::setup::{seconds, text};

/// An option as it was set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GrowthOption {
    pub(crate) name: String,
    /// As it was given, for the log.
    pub(crate) written: String,
    /// What `get` answers.
    pub(crate) answer: Value,
}

/// Counts of earlier bans with which a formula is tried when it is set.
const TRIED: &[u32] = &[1, 2, 20, 1000];

const MEND: &str = "write it with ban.Time, ban.Count, banFactor, numbers, + - * / // % ** << >>, comparisons, `A if B else C`, min, max, abs, \
    int, float, round and math.exp, log, log2, log10, sqrt, pow, floor, ceil; for example ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) \
    * banFactor";

/// Sets an option; an empty value unsets it. Fails with what is wrong and its mend; then nothing is changed.
pub(crate) fn set(settings: &mut JailSettings, name: &str, value: &Value) -> Result<GrowthOption, RemoteError> {
    let written = text(value);
    let empty = *value == Value::None || written.trim().is_empty();
    let some = (!empty).then_some(written.as_str());
    let growth = &mut settings.growth;
    let mut answer = if empty { Value::None } else { value.clone() };
    match name {
        "increment" => {
            settings.increment = truth(value);
            answer = Value::Bool(settings.increment);
        }
        "overalljails" => growth.overalljails = truth(value),
        "factor" => growth.factor = some.map(factor).transpose()?,
        "formula" => growth.formula = some.map(formula).transpose()?,
        "multipliers" => growth.multipliers = some.map(multipliers).transpose()?.unwrap_or_default(),
        "maxtime" | "rndtime" => {
            let span = some.map(|_| span(name, value)).transpose()?;
            answer = span.map_or(Value::None, |span| Value::Int(span.0));
            if name == "maxtime" {
                growth.maxtime = span;
            } else {
                growth.rndtime = span;
            }
        }
        // Kept without effect, as upstream does.
        _ => {}
    }
    Ok(GrowthOption {
        name: name.to_owned(),
        written,
        answer,
    })
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Bool(on) => *on,
        value => matches!(text(value).to_ascii_lowercase().as_str(), "1" | "on" | "true" | "yes"),
    }
}

fn span(name: &str, value: &Value) -> Result<Seconds, RemoteError> {
    let span = match value {
        Value::Int(number) => TimeSpan::Seconds(*number),
        value => TimeSpan::Written(text(value)),
    };
    seconds(&format!("bantime.{name}"), &span)
}

fn factor(written: &str) -> Result<Number, RemoteError> {
    let refused = |error: &dyn std::fmt::Display| {
        refusal(
            "factor",
            written,
            error,
            "write a number or a calculation of numbers, for example 1.5 or 60*60/600",
        )
    };
    let formula = Formula::parse(written).map_err(|error| refused(&error))?;
    if formula.has_variables() {
        return Err(refused(
            &"it is the same for all bans, so it cannot ask for anything of one",
        ));
    }
    let nothing = Variables {
        time: Number::Int(0),
        count: 0,
        factor: Number::Int(1),
    };
    formula.evaluate(nothing).map_err(|error| refused(&error))
}

fn formula(written: &str) -> Result<Formula, RemoteError> {
    let refused = |error: FormulaError| refusal("formula", written, &error, MEND);
    let formula = Formula::parse(written).map_err(refused)?;
    // What has a value for some counts may be meant so; what has none for all is a slip.
    let value = |count: &u32| {
        let (time, factor) = (Number::Int(600), Number::Int(1));
        formula.evaluate(Variables {
            time,
            count: *count,
            factor,
        })
    };
    let errors: Vec<FormulaError> = TRIED.iter().filter_map(|count| value(count).err()).collect();
    match errors.into_iter().next() {
        Some(error) if TRIED.iter().all(|count| value(count).is_err()) => Err(refused(error)),
        _ => Ok(formula),
    }
}

fn multipliers(written: &str) -> Result<Vec<u32>, RemoteError> {
    let number = |word: &str| {
        word.parse().map_err(|_| {
            let why = format!("`{word}` is no whole number of at least 0");
            refusal(
                "multipliers",
                written,
                &why,
                "part whole numbers by blanks, for example 1 2 4 8 16",
            )
        })
    };
    written.split_whitespace().map(number).collect()
}

fn refusal(name: &str, written: &str, why: &dyn std::fmt::Display, mend: &str) -> RemoteError {
    RemoteError::new(
        ErrorClass::ValueError,
        format!("bantime.{name} cannot be `{written}`; why: {why}; mend: {mend}"),
    )
}
