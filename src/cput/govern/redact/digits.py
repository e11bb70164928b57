"""Check digits: what tells a number that means somebody from one that only looks like it. All take plain ASCII."""

_CN_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CN_ID_CHECKS = "10X98765432"
_CREDIT_CODE = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_CODE_VALUE = {char: value for value, char in enumerate(_CREDIT_CODE)}


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before (ISO/IEC 7812-1, annex B).

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    odd = sum(map(int, digits[-1::-2]))
    even = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (odd + even) % 10 == 0


def resident_id_check(first17: str) -> str:
    """Return the last character of a resident id (GB 11643-1999; ISO 7064 MOD 11-2): a digit or X.

    >>> resident_id_check("11010519491231002")
    'X'
    """
    total = sum(weight * int(digit) for weight, digit in zip(_CN_ID_WEIGHTS, first17, strict=True))
    return _CN_ID_CHECKS[total % 11]


def credit_code_check(first17: str) -> str | None:
    """Return the last character of a unified social credit code (GB 32100-2015), in upper case.

    None where a character is none of the 31 (I, O, S, V and Z are not among them).

    >>> credit_code_check("91350100M000100Y4")
    '3'
    """
    try:
        values = [_CREDIT_CODE_VALUE[char] for char in first17]
    except KeyError:
        return None
    total = sum(value * pow(3, place, 31) for place, value in enumerate(values))
    return _CREDIT_CODE[-total % 31]


def iban_holds(iban: str) -> bool:
    """Whether an IBAN's check digits hold (ISO 13616-1, ISO 7064 MOD 97-10); upper case, no spaces.

    >>> iban_holds("GB82WEST12345698765432"), iban_holds("GB82WEST12345698765431")
    (True, False)
    """
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1
