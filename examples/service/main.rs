//! A service that lets its users script it: it has a host module of its own, `acme:crm`, from a WIT file.
//!
//!     cargo run --example service

use motu::{Bundle, Error, Grants, HostModule, Motu};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Customer {
    name: String,
    orders: u32,
}

#[derive(Serialize, Deserialize)]
enum Problem {
    NotFound,
    Ambiguous(u32),
}

fn crm() -> Result<HostModule, Error> {
    let customers = [("Ada Lovelace", 3), ("Alan Turing", 7), ("Ada Yonath", 1)]
        .map(|(name, orders)| Customer { name: name.to_owned(), orders });
    Ok(HostModule::from_wit(include_str!("crm.wit"))?.function("find-customer", move |_, name: String| {
        let found: Vec<Customer> =
            customers.iter().filter(|customer| customer.name.starts_with(&name)).cloned().collect();
        async move {
            Ok::<_, Error>(match found.as_slice() {
                [customer] => Ok(customer.clone()),
                [] => Err(Problem::NotFound),
                all => Err(Problem::Ambiguous(u32::try_from(all.len()).unwrap_or(u32::MAX))),
            })
        }
    }))
}

/// What a user of the service wrote.
const SCRIPT: &str = r#"
local crm = require("@acme/crm")

return {
    order = function(name: string): string
        local found, customer = pcall(crm.find_customer, name)
        if not found then
            return if customer.tag == "ambiguous" then `which of {customer.value}?` else "who?"
        end
        return `{customer.name} has {customer.orders} orders`
    end,
}
"#;

async fn serve() -> Result<Vec<String>, Error> {
    let motu = Motu::builder().host_module(crm()?).build()?;
    let shop = motu.tenant(&"shop:42".parse()?);
    shop.set_grants(Some(Grants::parse(["acme:crm/customers.find-customer"])?));
    shop.deploy("main", &Bundle::from_files([("init.luau", SCRIPT)])?).await?;
    let mut answers = Vec::new();
    for name in ["Alan", "Ada", "Grace"] {
        for answer in shop.dispatch::<String>("order", name).await? {
            answers.push(answer.result?.value);
        }
    }
    Ok(answers)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(serve())?.iter().for_each(|answer| println!("{answer}"));
    Ok(())
}

#[test]
fn it_serves() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    assert_eq!(runtime.block_on(serve())?, ["Alan Turing has 7 orders", "which of 2?", "who?"]);
    Ok(())
}
