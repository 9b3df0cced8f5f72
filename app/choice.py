"""What a user's values come to for one picture: method, model, parameters, noise level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.jobs import Catalog, MethodInfo, Request
from app.values import Values
from engine.image import Image
from engine.noise import NoiseReport
from engine.params import Spec
from engine.proposal import Proposal, leading, propose, settled_sigma
from engine.stabilisation import channels

if TYPE_CHECKING:
    from engine.checkpoint import Entry


@dataclass(frozen=True, eq=False)
class Choice:
    """Values, and what is known of the picture that they are for.

    Attributes:
        image: None while it is not read.
        report: the noise that was measured; None before that, or where it failed.
        is_measured: whether the noise is known, or is known to be unknowable.
        known: by method and model, what a checkpoint that was loaded sets in place of the method's defaults.
    """

    values: Values
    catalog: Catalog
    image: Image | None = None
    report: NoiseReport | None = None
    is_measured: bool = False
    known: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """What a network should be made for."""
        return channels(self.image) if self.image is not None else 3

    @property
    def proposal(self) -> Proposal | None:
        """What is proposed for the picture; before its noise is known, for pictures of its kind."""
        return propose(self.report, self.catalog.models, self.channels)

    @property
    def method_id(self) -> str:
        """Of the method in force, "" where that is not known yet."""
        if self.values.method:
            return self.values.method
        proposal = self.proposal
        return proposal.method if proposal is not None else ""

    @property
    def method(self) -> MethodInfo | None:
        """The method in force, chosen or proposed; None before the methods are known."""
        wanted = self.method_id
        found = next((method for method in self.catalog.methods if method.id == wanted), None)
        if found is None and not wanted:
            # Nothing is installed: what could be is shown.
            return next(iter(self.catalog.methods), None)
        return found

    @property
    def specs(self) -> tuple[Spec, ...]:
        """The parameters of the method in force."""
        return self.method.specs if self.method is not None else ()

    @property
    def by_hand(self) -> Mapping[str, Any]:
        """What was set by hand for the method in force."""
        return self.values.by_hand(self.method_id, self.specs)

    @property
    def proposed(self) -> Mapping[str, Any]:
        """What the automatic choice sets in place of the checkpoint's and the method's defaults."""
        proposal = None if self.values.method else self.proposal
        return proposal.params if proposal is not None else {}

    @property
    def suggested(self) -> Mapping[str, Any]:
        """What the checkpoint in force sets in place of the method's defaults, once it was loaded."""
        model = self.model
        return self.known.get((self.method_id, model.name if model is not None else ""), {})

    def value(self, name: str) -> Any:
        """The value in force; None for automatic."""
        spec = next(spec for spec in self.specs if spec.name == name)
        return {name: spec.default, **self.suggested, **self.proposed, **self.by_hand}[name]

    @property
    def sigma_by_hand(self) -> float | None:
        """The noise level that a user, the automatic choice or the checkpoint sets; None where it is measured."""
        return {**self.suggested, **self.proposed, **self.by_hand}.get("sigma")

    @property
    def sigma(self) -> float | None:
        """The noise level in force, in the trained range; None while it is not known."""
        by_hand = self.sigma_by_hand
        if by_hand is None and not self.is_measured:
            return None
        return settled_sigma(self.report, self.specs, by_hand)

    @property
    def passes(self) -> int | None:
        """T by hand or proposed; None for what the checkpoint or the method suggests."""
        return {**self.proposed, **self.by_hand}.get("passes")

    @property
    def models(self) -> list[Entry]:
        """The checkpoints that the method in force can run."""
        runs = self.method.runs if self.method is not None else frozenset()
        return [entry for entry in self.catalog.models if entry.name in runs]

    @property
    def leading_model(self) -> Entry | None:
        """The checkpoint behind the automatic choice; None if there is none."""
        if self.values.method:
            return leading(self.models, self.channels, (self.values.method,))
        proposal = self.proposal
        return next((e for e in self.catalog.models if proposal is not None and e.name == proposal.model), None)

    @property
    def model(self) -> Entry | None:
        """The chosen checkpoint; the one that leads where none is, or where that one is gone."""
        chosen = self.values.model
        return next((entry for entry in self.models if entry.name == chosen), None) or self.leading_model

    def request(self, picture: int, seed: int, device: str) -> Request | None:
        """What would have to be computed; None while it cannot be known, or where no model is installed.

        Args:
            picture: its id in the list.
            seed: of the recorruptions.
            device: auto, cpu, cuda or mps.
        """
        sigma, model = self.sigma, self.model
        # Also a level by hand waits for the report: methods use more of it, and the result must not depend on haste.
        if self.image is None or not self.is_measured or sigma is None or model is None:
            return None
        chosen = {**self.proposed, **self.by_hand}
        return Request(
            picture,
            self.image,
            self.method_id,
            model.name,
            {name: value for name, value in chosen.items() if name not in ("passes", "sigma")},
            sigma,
            seed,
            device,
            self.report,
        )
