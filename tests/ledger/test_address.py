"""A ledger's address is a file or a PostgreSQL database, and its password is never shown."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.errors import InputError
from cput.ledger.address import Server, address, default_path

URL = "postgresql://anna@db.example:5433/cput"


def test_the_default_file_follows_cput_home_then_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("CPUT_HOME", str(tmp_path))
    assert default_path() == address(None) == tmp_path / "ledger.db"
    monkeypatch.delenv("CPUT_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_path() == address(None) == tmp_path / "data" / "cput" / "ledger.db"


def test_cput_ledger_comes_before_the_default_and_after_what_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CPUT_HOME", str(tmp_path))
    monkeypatch.setenv("CPUT_LEDGER", URL)
    assert str(address(None)) == URL
    assert default_path() == tmp_path / "ledger.db"  # prices lie beside it
    assert address("a.db") == Path("a.db")
    monkeypatch.setenv("CPUT_LEDGER", "~/team.db")
    assert address(None) == Path.home() / "team.db"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "PostgreSQL"])
def test_every_spelling_of_the_scheme_is_one_server(scheme):
    server = address(scheme + URL[len("postgresql") :])
    assert isinstance(server, Server)
    assert str(server) == URL
    assert server.url.drivername == "postgresql+psycopg"
    assert address(server) is server


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///cput?host=/run/postgresql",
        "postgresql://anna@[::1]:5432/cput",
        "postgresql://anna@/cput?host=a.example&host=b.example&port=5433",
        "postgresql://db.example/cput?options=-csearch_path=team",
        "postgresql://db.example/",
    ],
)
def test_what_is_shown_says_the_same_place(url):
    assert str(address(str(address(url)))) == str(address(url)) == url


@given(password=st.text(min_size=6, max_size=30).filter(lambda text: text not in URL and "\x00" not in text))
def test_no_password_is_ever_shown(password):
    written = quote(password, safe="")
    for url in (f"postgresql://anna:{written}@db.example:5433/cput", f"{URL}?password={written}&sslpassword={written}"):
        server = address(url)
        shown = f"{server} {server!r} {[server]}"
        assert str(server) == URL
        assert password not in shown
        assert written not in shown
    assert address(f"postgresql://anna:{written}@db.example/cput").url.password == password


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (
            "mysql://anna:secret@db.example/cput",
            "can't be at 'mysql://...'; allowed: the name of a file, or postgresql://",
        ),
        ("sqlite:///secret.db", "can't be at 'sqlite://...'"),
        ("postgresql+asyncpg://anna:secret@db.example/cput", r"can't be at 'postgresql\+asyncpg://...'"),
        ("postgresql://anna:se@secret@db.example/cput", "more than one '@' .* %40, or leave the password out"),
        ("postgresql://anna:secret/cput", "can't be read, perhaps for its port"),
        ("postgresql://anna@db.example:secret/cput", "can't be read, perhaps for its port"),
        ("postgres:/anna:secret@db.example/cput", "begins with 'postgres:/'; allowed: .* as text, not as a path"),
    ],
)
def test_an_address_that_is_wrong_is_refused_without_being_shown(url, says):
    with pytest.raises(InputError, match=says) as caught:
        address(url)
    assert "secret" not in str(caught.value)


def test_a_url_that_became_a_path_is_refused():
    """Its slashes can't be given back, and a folder called postgresql: is not what was meant."""
    with pytest.raises(InputError, match="as text, not as a path"):
        address(Path("postgresql://anna@db.example/cput"))


def test_a_file_with_a_colon_is_a_file():
    assert address("notes:/today.db") == Path("notes:/today.db")
