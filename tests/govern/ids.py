"""Valid ids, made by the standards' arithmetic and not by the code under test; strategies and examples for the tests."""

import string
from datetime import date

from hypothesis import strategies as st

PROVINCES = ["11", "31", "35", "44", "51", "65", "71", "81", "83"]
CREDIT_CHARS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def resident_id(first17):
    weights = [2 ** (17 - at) % 11 for at in range(17)]
    return first17 + "10X98765432"[sum(int(d) * w for d, w in zip(first17, weights, strict=True)) % 11]


def card(body):
    for last in string.digits:
        total = 0
        for at, digit in enumerate(reversed(body + last)):
            value = int(digit) * (1 + at % 2)
            total += value - 9 * (value > 9)
        if total % 10 == 0:
            return body + last
    raise AssertionError(body)


def credit_code(first17):
    total = sum(CREDIT_CHARS.index(char) * pow(3, at) for at, char in enumerate(first17))
    return first17 + CREDIT_CHARS[(31 - total % 31) % 31]


def iban(country, account):
    for check in range(98, 1, -1):
        digits = "".join(str(int(char, 36)) for char in f"{account}{country}{check:02}")
        if int(digits) % 97 == 1:
            return f"{country}{check:02}{account}"
    raise AssertionError(account)


def digits(count):
    return st.text(string.digits, min_size=count, max_size=count)


residents = st.builds(
    lambda province, city, born, order: resident_id(f"{province}{city:04}{born:%Y%m%d}{order}"),
    st.sampled_from(PROVINCES),
    st.integers(101, 9029),
    st.dates(min_value=date(1900, 1, 1), max_value=date(2020, 12, 31)),
    digits(3),
)
mobiles = st.builds("1{}{}".format, st.sampled_from(["38", "39", "50", "66", "77", "88", "91", "99"]), digits(8))
cards = st.builds(card, st.builds("62{}".format, st.integers(13, 16).flatmap(digits)))
foreign_cards = st.builds(
    card, st.builds("{}{}".format, st.sampled_from(["4", "51", "2221"]), digits(15)).map(lambda n: n[:15])
)
credit_codes = st.builds(
    lambda kind, province, rest: credit_code(f"{kind}{province}0100{rest}"),
    st.sampled_from(["91", "92", "12", "51", "93"]),
    st.sampled_from(PROVINCES[:6]),
    st.text(CREDIT_CHARS, min_size=9, max_size=9),
)
ibans = st.builds(iban, st.just("DE"), digits(18)) | st.builds(
    lambda bank, rest: iban("GB", bank + rest), st.text(string.ascii_uppercase, min_size=4, max_size=4), digits(14)
)
emails = st.builds(
    "{}@{}.{}".format,
    st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12),
    st.text(string.ascii_lowercase, min_size=1, max_size=12),
    st.sampled_from(["com", "cn", "co.uk", "com.cn"]),
)
keys = st.builds("sk-{}-{}7{}".format, st.sampled_from(["proj", "cput", "ant"]), *[st.text(string.ascii_letters + string.digits, min_size=12, max_size=24)] * 2)  # fmt: skip
KINDS = {
    "CN_RESIDENT_ID": residents,
    "CN_MOBILE": mobiles,
    "CN_BANK_CARD": cards,
    "CREDIT_CARD": foreign_cards,
    "CN_CREDIT_CODE": credit_codes,
    "IBAN_CODE": ibans,
    "EMAIL_ADDRESS": emails,
    "API_KEY": keys,
}
values = st.one_of(*(kind.map(lambda value, name=name: (name, value)) for name, kind in KINDS.items()))
WIDE = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F) if chr(code).isalnum() or chr(code) in "@.-"})  # fmt: skip
prose = st.text(
    st.sampled_from("我的身份证电话是，。！\n 请回复谢谢“”（）") | st.sampled_from("the quick, brown! \n"), max_size=30
)
