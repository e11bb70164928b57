"""The guarantee: a policy's quality shown beforehand, and watched afterwards.

    found = certify(quality, cost_usd, floor=Floor(share_of_baseline=0.95), reference=strong)

docs/design/guarantee.md says what is proven, on what it rests and what was measured.
"""

from cput.policy.guarantee.certificate import ASSUMPTION, OVERALL, Candidate, Certificate, Held
from cput.policy.guarantee.certify import Certified, certify

__all__ = ["ASSUMPTION", "OVERALL", "Candidate", "Certificate", "Certified", "Held", "certify"]
