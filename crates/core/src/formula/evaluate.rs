//! From tree to number, as Python computes.

use super::Number::{Float, Int};
use super::{Binary, Comparison, Expression, FormulaError, Function, Number, Unary, Variable, Variables};

type Value = Result<Number, FormulaError>;

/// Beyond it a power or shift is computed as a fraction; it lasts longer than anything.
const LARGEST_SHIFT: i128 = 1023;

impl Expression {
    pub(super) fn evaluate(&self, ban: Variables) -> Value {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Variable(Variable::Time) => Ok(ban.time),
            Self::Variable(Variable::Count) => Ok(Int(i128::from(ban.count))),
            Self::Variable(Variable::Factor) => Ok(ban.factor),
            Self::Unary(operator, value) => {
                let value = value.evaluate(ban)?;
                Ok(match (operator, value) {
                    (Unary::Minus, Int(value)) => value.checked_neg().map_or(Float(-Int(value).float()), Int),
                    (Unary::Minus, Float(value)) => Float(-value),
                    (Unary::Plus, value) => value,
                    (Unary::Not, value) => Int(i128::from(!truth(value))),
                })
            }
            Self::Binary(Binary::And, left, right) => {
                let left = left.evaluate(ban)?;
                if truth(left) { right.evaluate(ban) } else { Ok(left) }
            }
            Self::Binary(Binary::Or, left, right) => {
                let left = left.evaluate(ban)?;
                if truth(left) { Ok(left) } else { right.evaluate(ban) }
            }
            Self::Binary(operator, left, right) => binary(*operator, left.evaluate(ban)?, right.evaluate(ban)?),
            Self::Compare(first, rest) => {
                let mut left = first.evaluate(ban)?;
                for (comparison, right) in rest {
                    let right = right.evaluate(ban)?;
                    if !compare(*comparison, left, right) {
                        return Ok(Int(0));
                    }
                    left = right;
                }
                Ok(Int(1))
            }
            Self::If(parts) => {
                let [condition, value, other] = &**parts;
                if truth(condition.evaluate(ban)?) { value } else { other }.evaluate(ban)
            }
            Self::Call(function, arguments) => {
                let values: Vec<Number> = arguments
                    .iter()
                    .map(|argument| argument.evaluate(ban))
                    .collect::<Result<_, _>>()?;
                call(*function, &values)
            }
        }
    }

    pub(super) fn has_variables(&self) -> bool {
        match self {
            Self::Number(_) => false,
            Self::Variable(_) => true,
            Self::Unary(_, value) => value.has_variables(),
            Self::Binary(_, left, right) => left.has_variables() || right.has_variables(),
            Self::Compare(first, rest) => first.has_variables() || rest.iter().any(|(_, value)| value.has_variables()),
            Self::If(parts) => parts.iter().any(Self::has_variables),
            Self::Call(_, arguments) => arguments.iter().any(Self::has_variables),
        }
    }
}

fn truth(value: Number) -> bool {
    match value {
        Int(value) => value != 0,
        Float(value) => value != 0.0,
    }
}

fn compare(comparison: Comparison, left: Number, right: Number) -> bool {
    let order = match (left, right) {
        (Int(left), Int(right)) => Some(left.cmp(&right)),
        (left, right) => left.float().partial_cmp(&right.float()),
    };
    match comparison {
        Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Comparison::LessEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Comparison::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::NotEqual => order.is_none_or(std::cmp::Ordering::is_ne),
        Comparison::GreaterEqual => order.is_some_and(std::cmp::Ordering::is_ge),
        Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
    }
}

/// `+`, `-`, `*`: whole if both are and it fits. Python's whole numbers have no limit; what exceeds ours is long enough as a fraction.
fn simple(left: Number, right: Number, whole: fn(i128, i128) -> Option<i128>, parts: fn(f64, f64) -> f64) -> Number {
    if let (Int(left), Int(right)) = (left, right)
        && let Some(value) = whole(left, right)
    {
        return Int(value);
    }
    Float(parts(left.float(), right.float()))
}

fn binary(operator: Binary, left: Number, right: Number) -> Value {
    match operator {
        Binary::Add => Ok(simple(left, right, i128::checked_add, |a, b| a + b)),
        Binary::Subtract => Ok(simple(left, right, i128::checked_sub, |a, b| a - b)),
        Binary::Multiply => Ok(simple(left, right, i128::checked_mul, |a, b| a * b)),
        Binary::Divide | Binary::FloorDivide | Binary::Modulo if !truth(right) => Err(FormulaError::DivisionByZero),
        Binary::Divide => Ok(Float(left.float() / right.float())),
        Binary::FloorDivide => match (left, right) {
            (Int(left), Int(right)) => {
                let (quotient, rest) = (left.checked_div(right), left.checked_rem(right));
                let (quotient, rest) = quotient.zip(rest).ok_or(FormulaError::Range)?;
                let down = i128::from(rest != 0 && (rest < 0) != (right < 0));
                Ok(Int(quotient.saturating_sub(down)))
            }
            (left, right) => {
                let (left, right) = (left.float(), right.float());
                Ok(Float(((left - floor_rest(left, right)) / right).round()))
            }
        },
        Binary::Modulo => match (left, right) {
            (Int(left), Int(right)) => {
                let rest = left.checked_rem(right).ok_or(FormulaError::Range)?;
                Ok(Int(if rest != 0 && (rest < 0) != (right < 0) {
                    rest + right
                } else {
                    rest
                }))
            }
            (left, right) => Ok(Float(floor_rest(left.float(), right.float()))),
        },
        Binary::Power => power(left, right),
        Binary::ShiftLeft | Binary::ShiftRight => match (left, right) {
            (Int(left), Int(right @ 0..=LARGEST_SHIFT)) => {
                let bits = u32::try_from(right).unwrap_or(0);
                if operator == Binary::ShiftRight {
                    return Ok(Int(left >> bits.min(127)));
                }
                let shifted = left.checked_shl(bits).filter(|shifted| shifted >> bits == left);
                Ok(shifted.map_or_else(|| Float(Int(left).float() * f64::from(bits).exp2()), Int))
            }
            _ => Err(FormulaError::Range),
        },
        // Taken before, since the right side may not be computed.
        Binary::And | Binary::Or => Err(FormulaError::Range),
    }
}

/// The rest of a division that rounds down, as Python has it: it has the sign of the divisor.
fn floor_rest(left: f64, right: f64) -> f64 {
    let rest = left % right;
    if rest != 0.0 && (rest < 0.0) != (right < 0.0) {
        rest + right
    } else {
        rest
    }
}

fn power(base: Number, exponent: Number) -> Value {
    if let (Int(base), Int(exponent)) = (base, exponent)
        && let Ok(exponent) = u32::try_from(exponent)
        && let Some(value) = base.checked_pow(exponent)
    {
        return Ok(Int(value));
    }
    let (base, exponent) = (base.float(), exponent.float());
    if base == 0.0 && exponent < 0.0 {
        return Err(FormulaError::DivisionByZero);
    }
    finite(base.powf(exponent))
}

fn finite(value: f64) -> Value {
    if value.is_finite() {
        Ok(Float(value))
    } else {
        Err(FormulaError::Range)
    }
}

/// A whole number from a fraction without one.
#[expect(clippy::cast_possible_truncation, reason = "bounded before")]
fn integer(value: f64) -> Value {
    if value.abs() < 1e38 {
        Ok(Int(value as i128))
    } else {
        Err(FormulaError::Range)
    }
}

fn call(function: Function, values: &[Number]) -> Value {
    let first = values.first().copied().ok_or(FormulaError::Range)?;
    let second = values.get(1).copied();
    let positive = |value: Number| {
        Some(value.float())
            .filter(|value| *value > 0.0)
            .ok_or(FormulaError::Range)
    };
    match (function, first) {
        (Function::Min | Function::Max, _) => {
            let better = if function == Function::Min {
                Comparison::Less
            } else {
                Comparison::Greater
            };
            let best = |best, value: &Number| if compare(better, *value, best) { *value } else { best };
            Ok(values.iter().fold(first, best))
        }
        (Function::Abs, Int(value)) => value.checked_abs().map(Int).ok_or(FormulaError::Range),
        (Function::Abs, Float(value)) => Ok(Float(value.abs())),
        (Function::Int | Function::Round | Function::Floor | Function::Ceil, Int(_)) => Ok(first),
        (Function::Int, Float(value)) => integer(value.trunc()),
        (Function::Round, Float(value)) => integer(value.round_ties_even()),
        (Function::Floor, Float(value)) => integer(value.floor()),
        (Function::Ceil, Float(value)) => integer(value.ceil()),
        (Function::Float, value) => Ok(Float(value.float())),
        (Function::Exp, value) => finite(value.float().exp()),
        (Function::Log, value) => match second {
            None => finite(positive(value)?.ln()),
            Some(base) => {
                let base = positive(base)?.ln();
                if base == 0.0 {
                    return Err(FormulaError::DivisionByZero);
                }
                finite(positive(value)?.ln() / base)
            }
        },
        (Function::Log2, value) => finite(positive(value)?.log2()),
        (Function::Log10, value) => finite(positive(value)?.log10()),
        (Function::Sqrt, value) if value.float() < 0.0 => Err(FormulaError::Range),
        (Function::Sqrt, value) => finite(value.float().sqrt()),
        (Function::Pow, value) => finite(value.float().powf(second.map_or(1.0, Number::float))),
    }
}
