//! The codec of messages: that of tonic, but for what callers are told of bytes that are no message. tonic
//! calls that INTERNAL, which is a bug by our contract; it is the request that is wrong.

use std::any::type_name;
use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

/// Encodes `T` and decodes `U`.
#[derive(Debug)]
pub struct Messages<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Messages<T, U> {
    fn default() -> Self {
        Messages(PhantomData)
    }
}

impl<T, U> Codec for Messages<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = MessageDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> MessageDecoder<U> {
        MessageDecoder(PhantomData)
    }
}

/// Decodes `U`.
#[derive(Debug)]
pub struct MessageDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for MessageDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::decode(bytes).map(Some).map_err(|error| {
            // Types of the contract are called as there, in a module of their package.
            let name = type_name::<U>().rsplit("::").next().unwrap_or_default();
            let message = format!("the bytes are no message tsdb.v1.{name}: {error}");
            Status::invalid_argument(message)
        })
    }
}
