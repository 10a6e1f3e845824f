//! From a type to its `impl Job`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Data, DeriveInput, Error, Field, LitStr, Path, Result, Type, parse_quote};

use crate::errors::Errors;
use crate::settings::Settings;
use crate::{length, name};

/// The implementation of `Job` for a type, and an error for each mistake.
pub(crate) fn job(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let shape = errors.check(check_shape(input));
    let settings = Settings::read(&input.attrs, &mut errors);
    check_parts(&input.data, &mut errors);
    let name = match &settings.name {
        Some(name) => Some(name.clone()),
        None => errors.check(name::of_type(&input.ident)),
    };
    // Also after a mistake in an attribute the type is a job, so that its uses
    // elsewhere do not add errors that would go with the mistake.
    let implementation = match (shape, name) {
        (Some(()), Some(name)) => implementation(input, &name, &settings),
        _ => TokenStream::new(),
    };
    let errors = errors.finish().err().map(Error::into_compile_error);
    quote!(#errors #implementation)
}

/// Refuses what no attribute could make a job.
fn check_shape(input: &DeriveInput) -> Result<()> {
    let mut errors = Errors::default();
    if let Data::Union(union) = &input.data {
        errors.push(Error::new(
            union.union_token.span,
            "a union cannot be a job, because it cannot be serialised; use a struct or an enum",
        ));
    }
    let mut borrowed: Vec<TokenStream> =
        input.generics.lifetimes().map(|parameter| parameter.lifetime.to_token_stream()).collect();
    if borrowed.is_empty() {
        borrowed.extend(fields(&input.data).filter_map(reference));
    }
    for place in borrowed {
        errors.push(Error::new_spanned(
            place,
            "a job must own its data, because it outlives the process that enqueues it; \
             use `String`, `Vec` and the like instead of references",
        ));
    }
    errors.finish()
}

/// The type of a field that borrows its value. What serde was told something
/// about (to skip it, say) is left to serde.
fn reference(field: &Field) -> Option<TokenStream> {
    let told = |attribute: &Attribute| attribute.path().is_ident("serde");
    match &field.ty {
        Type::Reference(ty) if !field.attrs.iter().any(told) => Some(ty.to_token_stream()),
        _ => None,
    }
}

/// All fields of all variants.
fn fields(data: &Data) -> Box<dyn Iterator<Item = &Field> + '_> {
    match data {
        Data::Struct(data) => Box::new(data.fields.iter()),
        Data::Enum(data) => Box::new(data.variants.iter().flat_map(|variant| &variant.fields)),
        Data::Union(data) => Box::new(data.fields.named.iter()),
    }
}

/// Refuses `#[job(…)]` on fields and variants, where it would say nothing.
fn check_parts(data: &Data, errors: &mut Errors) {
    if let Data::Enum(data) = data {
        for variant in &data.variants {
            check_place(&variant.attrs, "a variant", errors);
        }
    }
    for field in fields(data) {
        check_place(&field.attrs, "a field", errors);
    }
}

fn check_place(attributes: &[Attribute], place: &str, errors: &mut Errors) {
    for attribute in attributes.iter().filter(|a| a.path().is_ident("job")) {
        errors.push(Error::new_spanned(
            attribute,
            format!("`#[job(…)]` describes a whole type, not {place}; write it above the type"),
        ));
    }
}

fn implementation(input: &DeriveInput, name: &LitStr, settings: &Settings) -> TokenStream {
    let krate = settings.krate.clone().unwrap_or_else(|| parse_quote!(::windlass));
    let ident = &input.ident;
    let mut generics = input.generics.clone();
    // Lifetimes have been refused: what is left are types and constants.
    if !generics.params.is_empty() {
        // Whether such a type can be serialised depends on its parameters, and
        // only serde's derive knows how.
        generics.make_where_clause().predicates.push(parse_quote!(
            Self: ::serde::Serialize
                + ::serde::de::DeserializeOwned
                + ::core::marker::Send
                + 'static
        ));
    }
    let (parameters, arguments, bounds) = generics.split_for_impl();
    let defaults = defaults(settings, &krate);
    // The lint would blame the user's type for what `with_rest` does.
    quote! {
        #[automatically_derived]
        #[allow(clippy::needless_update)]
        impl #parameters #krate::Job for #ident #arguments #bounds {
            const NAME: &'static str = #name;

            fn defaults() -> #krate::JobDefaults {
                #defaults
            }
        }
    }
}

/// The expression that makes the defaults.
fn defaults(settings: &Settings, krate: &Path) -> TokenStream {
    let queue = settings.queue.as_ref().map(|queue| quote!(#queue));
    let priority = settings.priority.map(|priority| quote!(#priority));
    let retry = retry(settings, krate);
    let timeout = settings.timeout.map(length::expression);
    let given = [
        queue.map(|value| quote!(queue: ::core::option::Option::Some(#value),)),
        priority.map(|value| quote!(priority: ::core::option::Option::Some(#value),)),
        retry.map(|value| quote!(retry: ::core::option::Option::Some(#value),)),
        timeout.map(|value| quote!(timeout: ::core::option::Option::Some(#value),)),
    ];
    with_rest(&quote!(#krate::JobDefaults), &given)
}

/// The expression that makes the retry policy, if anything was said of it.
fn retry(settings: &Settings, krate: &Path) -> Option<TokenStream> {
    let backoff = settings.backoff.as_ref().map(|b| b.expression(krate));
    let given = [
        settings.max_attempts.map(|max| quote!(max_attempts: #max,)),
        backoff.map(|backoff| quote!(backoff: #backoff,)),
        settings.jitter.map(|jitter| quote!(jitter: #jitter,)),
    ];
    given.iter().any(Option::is_some).then(|| with_rest(&quote!(#krate::model::Retry), &given))
}

/// A struct with the given fields. What was not given remains the type's own
/// default, which is thus written down in one place only. The rest stands there
/// even if every field was given, so that the type may get more of them.
fn with_rest(name: &TokenStream, given: &[Option<TokenStream>]) -> TokenStream {
    quote!(#name { #(#given)* ..::core::default::Default::default() })
}
