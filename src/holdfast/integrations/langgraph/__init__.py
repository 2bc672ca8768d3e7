"""LangGraph on holdfast: `HoldfastSaver`, its checkpoints and its conversation.

`HoldfastStore` is LangGraph's store: what agents know across threads.
"""

from holdfast.integrations.langgraph.basestore import HoldfastStore
from holdfast.integrations.langgraph.saver import HoldfastSaver

__all__ = ["HoldfastSaver", "HoldfastStore"]
