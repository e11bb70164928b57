"""Takes personal data and secrets out of texts: what is found becomes a placeholder that says what it was.

>>> redacted("我的手机号是１３８００１３８０００，谢谢").text
'我的手机号是<CN_MOBILE>，谢谢'
"""

from cput.govern.redact.finding import Finding
from cput.govern.redact.redactor import Redaction, Redactor, redacted
from cput.govern.redact.sink import Redacted

__all__ = ["Finding", "Redacted", "Redaction", "Redactor", "redacted"]
