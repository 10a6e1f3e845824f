//! From the text of a cron expression to its fields.

use super::error::{ScheduleError, ScheduleErrorKind, quoted};

/// The five or six fields of an expression, in upper case; a nickname stands
/// for five.
pub(super) fn fields(input: &str) -> Result<Vec<String>, ScheduleError> {
    let upper = input.to_ascii_uppercase();
    let trimmed = upper.trim_ascii();
    let standard = if trimmed.starts_with('@') { nickname(trimmed)? } else { trimmed };
    let fields: Vec<String> = standard.split_ascii_whitespace().map(str::to_owned).collect();
    let count = fields.len();
    if count == 5 || count == 6 {
        return Ok(fields);
    }
    let hint = if count == 7 { "; a year field is not supported" } else { "" };
    Err(ScheduleError::new(
        ScheduleErrorKind::FieldCount,
        format!(
            "the cron expression {} has {count} fields; it needs five (minute, hour, day of \
             month, month, day of week) or six (second first){hint}",
            quoted(input),
        ),
    ))
}

fn nickname(name: &str) -> Result<&'static str, ScheduleError> {
    Ok(match name {
        "@YEARLY" | "@ANNUALLY" => "0 0 1 1 *",
        "@MONTHLY" => "0 0 1 * *",
        "@WEEKLY" => "0 0 * * 0",
        "@DAILY" | "@MIDNIGHT" => "0 0 * * *",
        "@HOURLY" => "0 * * * *",
        _ => {
            return Err(ScheduleError::new(
                ScheduleErrorKind::Nickname,
                format!(
                    "the nickname {} is not supported; there are @yearly, @annually, @monthly, \
                     @weekly, @daily, @midnight and @hourly",
                    quoted(&name.to_ascii_lowercase()),
                ),
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &str) -> Result<String, ScheduleErrorKind> {
        fields(input).map(|fields| fields.join(" ")).map_err(|error| error.kind())
    }

    #[test]
    fn an_expression_has_five_or_six_fields_in_any_case_and_spacing() {
        assert_eq!(read(" 0 3\t*  * mon\n").as_deref(), Ok("0 3 * * MON"));
        assert_eq!(read("*/5 0 3 * * *").as_deref(), Ok("*/5 0 3 * * *"));
        for input in ["", "* * * *", "* * * * * * *", "*****"] {
            assert_eq!(read(input), Err(ScheduleErrorKind::FieldCount), "{input}");
        }
    }

    #[test]
    fn a_nickname_is_written_out() {
        for (name, expression) in [
            ("@yearly", "0 0 1 1 *"),
            ("@annually", "0 0 1 1 *"),
            ("@monthly", "0 0 1 * *"),
            ("@weekly", "0 0 * * 0"),
            ("@Daily", "0 0 * * *"),
            ("@midnight", "0 0 * * *"),
            (" @HOURLY ", "0 * * * *"),
        ] {
            assert_eq!(read(name).as_deref(), Ok(expression), "{name}");
        }
        for name in ["@reboot", "@", "@daily *", "@every 5m"] {
            assert_eq!(read(name), Err(ScheduleErrorKind::Nickname), "{name}");
        }
    }
}
