"""A data set's folder, uploaded to Hugging Face's Hub. The token is read by its own library, and never shown."""

from __future__ import annotations

from pathlib import Path

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.progress import Progress

_KIND = "dataset"
_HIDDEN = [".*", "*/.*"]  # what is half written
_CAUSES = {
    401: "the token is not accepted; run `hf auth login`, or set HF_TOKEN to one that may write",
    403: "the token may not write there; take one with write access, and a name of your own account or organisation",
    404: "there is no such account or data set, or the token may not see it",
    429: "too many requests; run the same command again later",
}


class Upload:
    """An upload to the data set `name`, OWNER/NAME, which is made, private, where there is none.

    Raises UsageError where it cannot succeed: without the library, without a token, by a name that no data set has.
    """

    def __init__(self, name: str) -> None:
        try:
            import huggingface_hub
            from huggingface_hub.utils import HFValidationError, validate_repo_id
        except ImportError as error:
            raise UsageError(
                "--push: huggingface_hub is not installed; pip install 'sketchforge[datasets]'"
            ) from error
        try:
            validate_repo_id(name)
        except HFValidationError:
            name_is_fit = False
        else:
            name_is_fit = name.count("/") == 1
        if not name_is_fit:
            raise UsageError(f"--push {name}: expected the name of a data set, OWNER/NAME")
        try:
            token = huggingface_hub.get_token()
        except Exception:  # it may ask a server for one
            token = None
        if not token:
            raise UsageError(f"--push {name}: no token found; run `hf auth login`, or set HF_TOKEN")
        self._name, self._token = name, token

    def send(self, folder: Path, progress: Progress) -> str:
        """Upload a folder; return the data set's address. What is there already is not sent again.

        Raises SketchforgeError where it is refused or breaks off.
        """
        from huggingface_hub import HfApi

        api = HfApi(token=self._token)
        address = f"{api.endpoint}/datasets/{self._name}"
        progress.note(f"uploading {folder} to {address}")
        try:
            api.create_repo(self._name, repo_type=_KIND, private=True, exist_ok=True)
            api.upload_folder(
                repo_id=self._name,
                repo_type=_KIND,
                folder_path=folder,
                commit_message="Upload by sketchforge convert",
                ignore_patterns=_HIDDEN,
            )
        except Exception as error:  # of the library, its HTTP client, its transfers: each has its own
            raise SketchforgeError(
                f"{address}: was not uploaded ({self._explain(error)}); {folder} is complete, run the same command again"
            ) from None
        return address

    def _explain(self, error: Exception) -> str:
        """The cause in a line, without the token, wherever the text comes from."""
        status = getattr(getattr(error, "response", None), "status_code", None)
        lines = str(getattr(error, "server_message", None) or error).strip().splitlines()
        text = _CAUSES.get(status or 0) or " ".join((lines or [type(error).__name__])[:1])[:200]
        return text.replace(self._token, "…")
