"""Songs that are rendered on this machine, for five tasks that need no download."""

from tasks.collections.demo.collection import prepare as prepare
from tasks.collections.demo.parts import annotate as annotate
from tasks.collections.demo.parts import prepare_some as prepare_some
