"""A gRPC server with calls of each kind, and a client that makes them; messages are plain bytes."""
import sys
from concurrent import futures

import grpc

MIB = b"m" * (1 << 20)


def unary(message, context):
    context.send_initial_metadata([("x-initial", "first")])
    context.set_trailing_metadata([("x-trailing", "last")])
    return b"echo " + message


def stream(message, context):
    for number in range(int(message)):
        yield b"%d" % number
    context.set_trailing_metadata([("x-count", message.decode())])


def collect(messages, context):
    return b"%d" % sum(len(message) for message in messages)


def converse(messages, context):
    for message in messages:
        yield b"echo " + message


def fail(message, context):
    context.set_trailing_metadata([("x-why", "told to")])
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this")


def fail_late(message, context):
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "after one")


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(8))
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Converse": grpc.stream_stream_rpc_method_handler(converse),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


def error_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details(), dict(error.trailing_metadata())
    raise AssertionError("it did not fail")


def ask(target, ca):
    credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
    with grpc.secure_channel(target, credentials) as channel:
        answer, call = channel.unary_unary("/test.Echo/Unary").with_call(b"hello", timeout=10)
        assert answer == b"echo hello", answer
        assert ("x-initial", "first") in call.initial_metadata(), call.initial_metadata()
        assert ("x-trailing", "last") in call.trailing_metadata(), call.trailing_metadata()

        call = channel.unary_stream("/test.Echo/Stream")(b"100", timeout=10)
        assert list(call) == [b"%d" % number for number in range(100)]
        assert ("x-count", "100") in call.trailing_metadata(), call.trailing_metadata()

        total = channel.stream_unary("/test.Echo/Collect")(iter([MIB] * 8), timeout=10)
        assert total == b"%d" % (8 << 20), total

        said = [b"a", b"", MIB]
        heard = channel.stream_stream("/test.Echo/Converse")(iter(said), timeout=10)
        assert list(heard) == [b"echo " + message for message in said]

        code, details, trailers = error_of(lambda: channel.unary_unary("/test.Echo/Fail")(b"", timeout=10))
        assert (code, details) == (grpc.StatusCode.FAILED_PRECONDITION, "not like this"), (code, details)
        assert trailers["x-why"] == "told to", trailers

        code, details, _ = error_of(lambda: list(channel.unary_stream("/test.Echo/FailLate")(b"", timeout=10)))
        assert (code, details) == (grpc.StatusCode.DATA_LOSS, "after one"), (code, details)

        code, _, _ = error_of(lambda: channel.unary_unary("/test.Echo/None")(b"", timeout=10))
        assert code == grpc.StatusCode.UNIMPLEMENTED, code
    print("ok")


if sys.argv[1] == "serve":
    serve()
else:
    ask(*sys.argv[2:])
