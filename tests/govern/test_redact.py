"""What is found in a text, and what is not: a number that fails its check digit stays."""

import time
from itertools import pairwise

import ids
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.errors import InputError
from cput.govern.redact import Redactor, redacted
from cput.govern.redact.finding import Finding, resolved
from cput.govern.redact.redactor import ENTITIES, RECOGNIZERS, WINDOW, key_from_environment

GOOD = {
    "CN_RESIDENT_ID": [
        "11010519491231002X",  # the example of GB 11643
        "11010519491231002x",
        "110105 19491231 002X",
        "110105-1949-1231-002X",
        "110 105 1949 1231 002X",
        "１１０１０５１９４９１２３１００２Ｘ",
        "110105491231002",  # 15 digits, before 1999
        "110105 491231 002",
        ids.resident_id("83000019900101001"[:2] + "0101" + "19900101001"),
        ids.resident_id("9" + "11" + "840" + "19850214" + "001"),  # a foreigner's
    ],
    "CN_MOBILE": [
        "13800138000",
        "138 0013 8000",
        "138-0013-8000",
        "138.0013.8000",
        "138 001 38000",
        "+8613800138000",
        "+86 138 0013 8000",
        "(+86) 138-0013-8000",
        "0086-13800138000",
        "86 19912345678",
        "１３８００１３８０００",
        "138\u20110013\u20118000",
        "138\u200b0013\u200b8000",
    ],
    "CN_CREDIT_CODE": [
        "91350100M000100Y43",  # the example of GB 32100
        "9144030071526726XG",
        "91100000100003962T",
        "914403001922038216",
        "91350100m000100y43",
        "9135 0100 M000 100Y 43",
        "91-350100-M000100Y-4-3",
        "９１３５０１００Ｍ０００１００Ｙ４３",
    ],
    "CN_BANK_CARD": [
        "6222020200112233446",
        "6222 0202 0011 2233 446",
        "6222-0202-0011-2233-446",
        "622202 0200112233446",
        "622848032012345674",
        "9558800200112233446",
        "６２２２０２０２００１１２２３３４４６",
    ],
    "CREDIT_CARD": [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "3530111333300000",
        "30569309025904",
        "501831234569",
    ],
    "IBAN_CODE": ["GB82WEST12345698765432", "GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "NO9386011117947"],
    "EMAIL_ADDRESS": ["li.lei+shop@mail.example.com.cn", "A_B@x.io", "ｌｉ＠ｅｘａｍｐｌｅ．ｃｏｍ", "a@b.xn--fiqs8s"],
    "IP_ADDRESS": ["192.168.10.4", "8.8.4.40", "2001:db8:85a3::8a2e:370:7334", "fe80::1ff:fe23:4567:890a", "fd12::1"],
    "US_SSN": ["536-90-4399", "ssn: 536904399", "SSN 536 90 4399"],
    "API_KEY": [
        "sk-proj-abcDEF123456ghiJKL789",
        "sk-cput-Zm9vYmFyYmF6cXV4cXV1eDEyMzQ1Njc4OTA",
        "sk-ant-api03-abcdef-123456",
        "sk_live_51abcdefghijklmnop",
        "AKIAIOSFODNN7EXAMPLE",
        "LTAI5tAbcdefgh1234567890",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "github_pat_11ABCDEFG0abcdefghijkl_mnopq",
        "glpat-abcd1234efgh5678ijkl",
        "xoxb-123456789012-abcdefABCDEF",
        "hf_abcdefghijKLMNOPqrstuvwx12345678",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    ],
    "ACCESS_TOKEN": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"],
}
GOOD_EACH = [(entity, value) for entity, found in GOOD.items() for value in found]
BAD = [
    "110105194912310021",  # wrong check digit
    "11010519491331002X",  # month 13
    "11010520990101002X",  # not born yet
    ids.resident_id("99010519491231002"),  # 99010: no province
    ids.resident_id("00010519491231002"),
    "110105491331002",
    "12800138000",  # no mobile's prefix
    "15400138000",
    "138001380001",
    "91350100M000100Y44",
    "91350100I000100Y43",
    "6222020200112233447",
    "4111111111111112",
    "7111111111111111",
    "GB82WEST12345698765431",
    "000-12-3456",
    "987-65-4321",
    "536904399",
    "256.1.1.10",
    "1.2.3.4",
    "version 10.2.3.4",
    "127.0.0.1",
    "12:30:45",
    "std::dead::beef",
    "a::b",
    "sk-learn-compatible-estimators",
    "task-force-member-number-12345",
    "Bearer authentication-is-required",
    "git@github.com:li/repo.git",
    "react@18.2.0",
    "@app.route",
    "0.13800138000",
    "1.4142135623730951",
    "1717171717171",
    "1717171717171717171",
    "2026-11-26 10:24:56.123456",
    "d3b07384d113edec49eaa6238ad5ff00",
    "e9f13800138000",
    "0199aaaa-0000-7000-8000-138001380001",
    "3.14159265358979",
    "https://example.com:8080/a?b=c@d",
]


@pytest.mark.parametrize(("entity", "value"), GOOD_EACH)
@pytest.mark.parametrize(
    "around", ["{}", "我的号码是{}，谢谢", "号{}号", "see {}.", '{{"v": "{}"}}', "（{}）", "a,{};b"]
)
def test_it_is_found_whatever_stands_around_it(entity, value, around):
    text = around.format(value)
    bare = value.split(" ", 1)[1] if value.lower().startswith("ssn") else value
    made = redacted(text)
    assert dict(made.found) == {entity: 1}
    assert made.text == text.replace(bare, f"<{entity}>")


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("around", ["{}", "编号{}。", "no. {}, thanks"])
def test_what_only_looks_like_one_stays(text, around):
    said = around.format(text)
    assert redacted(said) == (said, {})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("tel13800138000 or email:li@x.cn", "tel<CN_MOBILE> or email:<EMAIL_ADDRESS>"),
        ("卡号：123456789015", "卡号：<CREDIT_CARD>"),  # any number that passes Luhn, where it is called a card
        ("号码：123456789015", "号码：123456789015"),
        ("ip 1.2.3.4", "ip <IP_ADDRESS>"),
        ("postgres://me:p@ss:w0rd@db.example.com/x", "postgres://<URL_CREDENTIALS>@db.example.com/x"),
        ("Authorization: Bearer abcdef.123456-xyz=", "Authorization: Bearer <ACCESS_TOKEN>"),
        ('{"api_key": "0a1b2c3d4e5f60718293"}', '{"api_key": "<ACCESS_TOKEN>"}'),
        ("a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb", "a <PRIVATE_KEY>\nb"),
        ("-----BEGIN PRIVATE KEY-----\\nMIIE13800138000\\n", "<PRIVATE_KEY>"),  # broken off
        ("-----BEGIN CERTIFICATE-----\nMIIE\n", "-----BEGIN CERTIFICATE-----\nMIIE\n"),
        ("4111 1111 1111 1111 1234", "<CREDIT_CARD> 1234"),
        ("13800138000/13900139000 13700137000", "<CN_MOBILE>/<CN_MOBILE> <CN_MOBILE>"),
        ("11010519491231002X 13800138000", "<CN_RESIDENT_ID> <CN_MOBILE>"),
        ("a@b.de13800138000", "<EMAIL_ADDRESS><CN_MOBILE>"),
    ],
)
def test_in_context(text, kept):
    assert redacted(text).text == kept


@settings(deadline=None)
@given(ids.values, ids.prose, ids.prose, st.booleans())
def test_a_valid_id_is_always_found_and_no_character_of_it_is_left(value, before, after, wide):
    entity, said = value
    shown = said.translate(ids.WIDE) if wide and entity != "API_KEY" else said
    made = redacted(f"{before}：{shown}。{after}")
    assert made.text == f"{before}：<{entity}>。{after}"


@settings(deadline=None)
@given(
    st.lists(ids.values | ids.prose | st.text(max_size=8) | ids.digits(7), max_size=12),
    st.sampled_from(["", " ", "-", "号"]),
)
def test_redacting_twice_is_redacting_once(parts, between):
    text = between.join(part if isinstance(part, str) else part[1] for part in parts)
    for redactor in (Redactor(), Redactor(key=b"0123456789abcdef")):
        once = redactor.redact(text).text
        assert redactor.redact(once) == (once, {})


@settings(deadline=None)
@given(st.text())
def test_a_text_without_findings_is_the_same_text(text):
    made = redacted(text)
    assert made.found or made.text == text


@settings(deadline=None)
@given(st.lists(ids.values, min_size=1, max_size=4), st.sampled_from([" ", "，", "\n", "/"]))
def test_no_digit_of_what_was_found_is_left(found, between):
    made = Redactor(key=b"0123456789abcdef").redact(between.join(value for _, value in found))
    assert not any(char.isdigit() for char in made.text)
    assert sum(made.found.values()) == len(found)


@settings(deadline=None)
@given(st.integers(0, 2 * WINDOW), ids.values, st.sampled_from(["字", "x ", "\n", "1, ", "q"]))
def test_a_window_s_border_cuts_nothing_in_two(at, value, filler):
    entity, said = value
    text = (filler * at)[:at] + "，" + said + "，" + filler * 100
    assert redacted(text).found[entity] >= 1
    assert said not in redacted(text).text


spans = st.builds(
    lambda start, length, entity, score: Finding(start, start + length, entity, score),
    st.integers(0, 30), st.integers(1, 10), st.sampled_from(ENTITIES), st.sampled_from([0.5, 0.9]),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(spans, max_size=8))
def test_findings_that_overlap_become_one_that_covers_them_all(findings):
    found = resolved(findings)
    covered = {at for each in findings for at in range(each.start, each.end)}
    assert [at for each in found for at in range(each.start, each.end)] == sorted(covered)
    assert all(first.end <= second.start for first, second in pairwise(found))


def test_of_findings_that_overlap_the_longest_gives_the_name_then_the_surest():
    short, long, sure = Finding(0, 4, "A", 1.0), Finding(2, 9, "B", 0.5), Finding(2, 9, "C", 0.6)
    assert resolved([short, long]) == [Finding(0, 9, "B", 0.5)]
    assert resolved([sure, short, long]) == [Finding(0, 9, "C", 0.6)]


def test_a_pseudonym_is_the_same_for_every_way_of_writing_a_value_and_for_one_tenant_only():
    redactor = Redactor(key=b"0123456789abcdef")

    def said(text, tenant="shop"):
        return redactor.redact(text, tenant=tenant).text

    ways = ["13800138000", "138 0013 8000", "+86 138-0013-8000", "１３８００１３８０００"]
    assert len({said(way) for way in ways}) == 1
    assert len({said("13800138000"), said("13800138001"), said("13800138000", "bank"), said("13800138000", None)}) == 4
    other = Redactor(key=b"fedcba9876543210").redact("13800138000", tenant="shop").text
    assert other != said("13800138000")
    assert "138" not in other


def test_known_secrets_are_struck_out_whatever_they_look_like():
    redactor = Redactor(secrets=["correct horse battery", "", "short"])
    assert redactor.redact("it is correct horse battery.").text == "it is <SECRET>."
    assert redactor.redact("short words stay").text == "short words stay"


def test_a_key_for_pseudonyms_comes_from_the_environment_and_is_not_short(monkeypatch):
    assert key_from_environment() is None
    monkeypatch.setenv("CPUT_REDACT_KEY", "0123456789abcdef")
    assert key_from_environment() == b"0123456789abcdef"
    monkeypatch.setenv("CPUT_REDACT_KEY", "hunter2")
    with pytest.raises(InputError, match="7 bytes; allowed: 16 or more") as raised:
        key_from_environment()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    ["sk-" * 60_000, "sk-a:" * 40_000, "://a:b@c" * 25_000, "a@b.c@" * 30_000, "1" * 200_000, "1 " * 100_000, "a." * 100_000 + "@", "://" + "a:" * 100_000, "eyJ" * 60_000,
     "-----BEGIN " * 20_000, "-----BEGIN PRIVATE KEY-----" * 5_000, "f" * 200_000, "2001:" * 40_000, "1." * 100_000,
     "(+86)" * 40_000, "GB82 " * 40_000, "api_key: " * 20_000, "@a" * 100_000, "@a.b" * 50_000, "62 " * 70_000,
     "13800138000 " * 16_000, "authorization: bearer " * 9_000],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_no_text_takes_long(text):
    """Time is linear: 200,000 characters made to be slow take well under what a quadratic search would."""
    began = time.thread_time()
    redacted(text)
    assert time.thread_time() - began < 8


def test_every_entity_has_an_example():
    assert {*GOOD} == {each.entity for each in RECOGNIZERS} - {"URL_CREDENTIALS"}
