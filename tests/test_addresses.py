"""Secrets in options and addresses: which are found, and what is none."""

import pytest
from refused import refused

from amazon_ml.runtime.addresses import has_secret, secrets_in
from amazon_ml.scenes.sources import find_files


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:hush@db/x",
        "postgresql://me:hu/sh@db/x",
        "postgresql://me:12/hush@db/x",
        "postgresql+psycopg2://me:hu%2Fsh@db/x",
        "postgresql://db/x?user=me&password=hush",
        "mysql://db/x?passwd=hush",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3D%7Bx%7D%3BUID%3Dme%3BPWD%3Dhush",
        "mssql+pyodbc:///?odbc_connect=PWD%3Dhush",
        "https://ghp_hush@db/x",
        "https://me@host",
        "https://hush:@host",
        "https://me:hu/sh@host:8080/x",
        "https://me:hush@host:8080/x@1",
        "https://host/x?X-Amz-Signature=hush",
        "https://host/x?key=hush",
        "https://host/a.tif?key=hush",
        "https://host/a.tif?key=hush&f=.tif",
        "https://host/get?token=hush.tif",
        "https://host/get?key=a.tif&sig=hush&f=.tif",
        "https://host/x#access_token=hush",
        "/vsicurl/https://me:hush@host/a.tif",
        "postgresql://ghp_0123456789abcdef@db/x",
        "postgresql://0123456789abcdef0123456789abcdef@db/x",
        "see https://host and https://me:hush@host",
    ],
)
def test_secrets_in_addresses_are_found(address: str) -> None:
    assert has_secret(address)
    assert list(secrets_in({"a": [{"b": address}]})) == ["a.0.b"]


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me@db/x",
        "postgresql://service-of-tracking-in-production-2@db:5432/x?sslmode=require&sslkey=/me/key.pem",
        "postgresql://me:@db/x",
        "sqlite:///mlflow.db",
        "sqlite:////data/a@b:c@d.db",
        "https://host:8080/tracking/#/experiments/1?page=2",
        "https://host:8080/path@1",
        "s3://bucket/a:b@c",
        "databricks://profile",
        "file:///home/me@work/mlruns",
        "https://host/x?password=&a=1",
        "https://host/x?tokenizer=bpe",
        "no address: me:hush@db, token=8",
        "",
    ],
)
def test_what_is_no_secret_is_not_taken_for_one(text: str) -> None:
    assert not has_secret(text)
    assert list(secrets_in({"a": [{"b": text}], "c": 1, "d": None, "e": [1.5, True]})) == []


@pytest.mark.parametrize("name", ["api_key", "apiKey", "x-api-key", "password", "passwd", "pwd", "Authorization"])
def test_secrets_are_found_by_their_names_at_any_depth(name: str) -> None:
    assert list(secrets_in({"a": {"b": [1, [{name: "hush"}]]}, name: "hush"})) == [f"a.b.1.0.{name}", name]


def test_addresses_of_scenes_that_results_would_store_hold_no_secret() -> None:
    with refused(option="scene") as error:
        find_files(["https://me:hush@host/a.tif"], allow_remote=True)
    assert "hush" not in str(error.value)
    assert find_files(["s3://bucket/a.tif"], allow_remote=True) == ["s3://bucket/a.tif"]


@pytest.mark.parametrize(
    "address",
    [
        "https://host/get?key=dem/a.tif", "https://host/get?key=dem%2Fa.TIF", "https://host/get?sort_key=a.jp2",
        "https://host/get?tokenize=1&f=a.tif", "/vsiaz/container/a.tif",
        "/vsicurl?pc_url_signing=yes&pc_collection=naip&url=https://host/a.tif",
    ],
)  # fmt: skip
def test_addresses_of_scenes_without_a_secret_are_taken(address: str) -> None:
    assert find_files([address], allow_remote=True) == [address]


@pytest.mark.parametrize("address", ["https://host/a.tif?st=1&sig=hush", "https://host/a.tif?X-Amz-Signature=hush"])
def test_signed_addresses_name_the_ways_without_a_secret(address: str) -> None:
    with refused(option="scene", says=["AZURE_STORAGE_SAS_TOKEN", "pc_url_signing"]) as error:
        find_files([address], allow_remote=True)
    assert "hush" not in str(error.value)
