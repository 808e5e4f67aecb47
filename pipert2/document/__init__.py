"""A pipe as a document: ``pipe.yaml``."""

from pipert2.document.findings import DocumentError, Finding, UnwritablePipeError
from pipert2.document.load import build_pipe, check_document, load_pipe, read_document
from pipert2.document.model import PipeDocument, document_schema
from pipert2.document.write import document_of, dump_document

__all__ = [
    "DocumentError",
    "Finding",
    "PipeDocument",
    "UnwritablePipeError",
    "build_pipe",
    "check_document",
    "document_of",
    "document_schema",
    "dump_document",
    "load_pipe",
    "read_document",
]
