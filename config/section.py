"""What every group of settings is made of: the kinds of values, each checked as it is read, and how one may change."""

from enum import Enum, auto
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from config import values

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[
    float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)
]  # beyond a year somebody meant milliseconds
SecondsOrNever = Annotated[float, Field(ge=0, le=366 * 86400, allow_inf_nan=False)]  # 0 is never
IdleTimeout = Annotated[SecondsOrNever, AfterValidator(values.idle_timeout)]
Level = Literal["private", "internal", "public"]
Switch = Annotated[bool, BeforeValidator(values.switch)]
BaseUrl = Annotated[str, AfterValidator(values.base_url)]
CollectorUrl = Annotated[str, AfterValidator(values.collector_url)]
Share = Annotated[float, BeforeValidator(values.share)]
HostKey = Annotated[SecretStr, AfterValidator(values.host_key_text)]
Network = Annotated[values.AnyNetwork, BeforeValidator(values.network)]
Zone = Annotated[str, AfterValidator(values.zone)]
Namespace = Annotated[str, AfterValidator(values.namespace)]
WebOrigin = Annotated[str, AfterValidator(values.origin)]
UrlPath = Annotated[str, AfterValidator(values.url_path)]
HostName = Annotated[str, AfterValidator(values.host_name)]
CommaList = BeforeValidator(values.comma_list)


class Change(Enum):
    """How a setting changes in a gateway that runs. One without such a mark is taken up at once (`config.changes`)."""

    RESTART = auto()
    """Only with a new process: it says where to listen, whom to ask, or what everything that is kept was made for."""
    NO_SWITCH = auto()
    """At once, but for one that was not set and now is, or the other way round."""


RESTART, NO_SWITCH = Change.RESTART, Change.NO_SWITCH


class Section(BaseModel):
    """A frozen group of settings in which an unknown key is a fault."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,  # the text under a field is what `serve --help` prints
    )
