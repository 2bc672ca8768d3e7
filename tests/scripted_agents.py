"""A model of the OpenAI Agents SDK that says what it was told to, without a network."""

from agents import ModelResponse, Usage
from agents.models.interface import Model
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)


class ScriptedModel(Model):
    """Gives one item (or a list) an answer, in order, and keeps what it was shown."""

    def __init__(self, script):
        self.script = list(script)
        self.inputs = []

    async def get_response(self, system_instructions, input, *args, **kwargs):
        self.inputs.append(input)
        return ModelResponse(output=self.next(), usage=Usage(), response_id=None)

    async def stream_response(self, system_instructions, input, *args, **kwargs):
        self.inputs.append(input)
        response = Response(
            id="resp_1",
            created_at=0,
            model="scripted",
            object="response",
            output=self.next(),
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=False,
        )
        yield ResponseCompletedEvent(
            type="response.completed", response=response, sequence_number=0
        )

    def next(self):
        said = self.script.pop(0)
        return said if isinstance(said, list) else [said]


def says(text):
    content = ResponseOutputText(text=text, type="output_text", annotations=[])
    return ResponseOutputMessage(
        id="msg_1",
        content=[content],
        role="assistant",
        status="completed",
        type="message",
    )


def calls(name, arguments, call_id="call_1"):
    return ResponseFunctionToolCall(
        id=f"fc_{call_id}",
        call_id=call_id,
        name=name,
        arguments=arguments,
        type="function_call",
    )
