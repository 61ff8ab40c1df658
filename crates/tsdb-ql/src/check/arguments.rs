//! The arguments of a function behind its first.

use super::Checker;
use crate::{
    ast::{Call, Expr, Literal, Span},
    error::Error,
    function::{Function, MoreArguments},
};

impl Checker {
    /// Checks all arguments but the first, of which there are as many as the function takes.
    pub(super) fn more_arguments(&mut self, function: Function, call: &Call) {
        let name = call.name.clone();
        match function.more_arguments() {
            MoreArguments::None => {}
            MoreArguments::Unit => self.each(call, 1, Self::unit),
            MoreArguments::Percent => self.each(call, 1, Self::percent),
            MoreArguments::Window => self.whole(call, 1, 2, Error::WindowArgument { name }),
            MoreArguments::Count => self.whole(call, 1, 1, Error::CountArgument { name }),
            MoreArguments::TagsAndCount => {
                let last = call.args.len().saturating_sub(1);
                self.whole(call, last, 1, Error::CountArgument { name });
            }
            MoreArguments::Period { period_min, hold_min, warmups } => {
                let least = period_min;
                self.whole(
                    call,
                    1,
                    period_min,
                    Error::PeriodArgument { name: name.clone(), least },
                );
                let error = Error::HoldArgument { name: name.clone(), least: hold_min };
                if call.args.get(2).and_then(integer) != Some(-1) {
                    self.whole(call, 2, hold_min, error);
                }
                if let Some(warmup) = call.args.get(3) {
                    self.warmup(name, warmup, warmups);
                }
            }
            MoreArguments::Horizon => {
                self.whole(call, 1, 1, Error::CountArgument { name: name.clone() });
                self.whole(call, 2, 0, Error::SeasonArgument { name });
            }
        }
    }

    /// Lets `check` judge the argument at `place`, if there is one: name of the function, argument as it would be
    /// printed, its constant if it is one, its place.
    fn each(
        &mut self,
        call: &Call,
        place: usize,
        check: fn(&mut Self, String, String, Option<&Literal>, Span),
    ) {
        let Some(argument) = call.args.get(place) else { return };
        let literal = match argument {
            Expr::Literal { value, .. } => Some(value),
            _ => None,
        };
        check(self, call.name.clone(), argument.to_string(), literal, argument.span());
    }

    fn unit(&mut self, name: String, got: String, literal: Option<&Literal>, span: Span) {
        match literal {
            Some(Literal::Duration(ns)) if *ns > 0 => {}
            Some(Literal::Duration(_)) => self.report(Error::UnitNotPositive { got }, span),
            _ => self.report(Error::UnitArgument { name, got }, span),
        }
    }

    fn percent(&mut self, name: String, got: String, literal: Option<&Literal>, span: Span) {
        let number = literal.filter(|value| {
            let whole = matches!(value, Literal::Integer(_) | Literal::Unsigned(_));
            whole || matches!(value, Literal::Number(_))
        });
        match number.and_then(Literal::as_f64) {
            Some(percent) if (0.0..=100.0).contains(&percent) => {}
            Some(_) => self.report(Error::PercentOutOfRange { name, got }, span),
            None => self.report(Error::PercentArgument { name }, span),
        }
    }

    /// Reports `error` unless the argument at `place` is missing or a whole number from `least` on.
    fn whole(&mut self, call: &Call, place: usize, least: i64, error: Error) {
        if let Some(argument) = call.args.get(place)
            && integer(argument).is_none_or(|value| value < least)
        {
            self.report(error, argument.span());
        }
    }

    fn warmup(&mut self, name: String, argument: &Expr, warmups: &'static [&'static str]) {
        let is_known = match argument {
            Expr::Literal { value: Literal::String(text), .. } => warmups.contains(&text.as_str()),
            _ => false,
        };
        if !is_known {
            self.report(Error::WarmupArgument { name, warmups }, argument.span());
        }
    }
}

fn integer(argument: &Expr) -> Option<i64> {
    match argument {
        Expr::Literal { value: Literal::Integer(value), .. } => Some(*value),
        _ => None,
    }
}
