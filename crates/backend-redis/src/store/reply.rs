//! What scripts answer, piece by piece.

use redis::Value;
use windlass_core::Error;
use windlass_core::model::Timestamp;

use super::Confirmed;
use super::encode::to_moment;
use crate::error::damaged;

/// An answer whose pieces are taken in order.
#[derive(Debug)]
pub(crate) struct Reply {
    pieces: std::vec::IntoIter<Value>,
    confirmed: Confirmed,
}

impl Reply {
    pub(crate) fn new(value: Value, confirmed: Confirmed) -> Result<Self, Error> {
        let values = match value {
            Value::Array(values) => values,
            Value::Nil => Vec::new(),
            other => return Err(unexpected(&other)),
        };
        Ok(Self { pieces: values.into_iter(), confirmed })
    }

    /// Whether as many replicas have what was changed as were asked for.
    pub(crate) fn confirmed(&self) -> Confirmed {
        self.confirmed
    }

    fn next(&mut self) -> Result<Value, Error> {
        self.pieces.next().ok_or_else(|| damaged("an answer", "it ends too early"))
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.pieces.as_slice().is_empty()
    }

    /// The next piece, or nothing where there is none.
    pub(crate) fn optional(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match self.next()? {
            Value::BulkString(bytes) => Ok(Some(bytes)),
            Value::Int(number) => Ok(Some(number.to_string().into_bytes())),
            Value::Nil => Ok(None),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        Ok(self.optional()?.unwrap_or_default())
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        String::from_utf8(self.bytes()?).map_err(|error| damaged("a text", error))
    }

    pub(crate) fn moment(&mut self) -> Result<Timestamp, Error> {
        Ok(to_moment(&self.bytes()?))
    }

    pub(crate) fn number(&mut self) -> Result<u64, Error> {
        match self.next()? {
            Value::Int(number) => Ok(u64::try_from(number).unwrap_or(0)),
            other => Err(unexpected(&other)),
        }
    }

    /// A list of pieces.
    pub(crate) fn list(&mut self) -> Result<Self, Error> {
        Self::new(self.next()?, self.confirmed)
    }

    /// A list of which each piece is bytes.
    pub(crate) fn all_bytes(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let mut list = self.list()?;
        let mut all = Vec::with_capacity(list.pieces.len());
        while !list.is_at_end() {
            all.push(list.bytes()?);
        }
        Ok(all)
    }
}

fn unexpected(value: &Value) -> Error {
    let kind = match value {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) | Value::Okay => "a text",
        Value::Array(_) => "a list",
        _ => "something else",
    };
    damaged("an answer", format!("{kind} stands where another kind is expected"))
}
