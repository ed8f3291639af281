"""Songs that are rendered on this machine, for five tasks that need no download."""

from tasks.collections.demo.collection import prepare as prepare
