"""The Million Song Dataset: six tasks on its 7digital previews."""

from tasks.collections.msd.collection import items as items
