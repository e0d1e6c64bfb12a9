#!/usr/bin/env escript
%%! +S 1:1
%% A heartbeat beside busy processes, on one scheduler: `escript heartbeat.escript HOGS SECONDS` prints how late each beat
%% was, in ms.
-mode(compile).

main([Hogs, Seconds]) ->
    Until = erlang:monotonic_time(microsecond) + round(to_number(Seconds) * 1000000),
    [spawn_link(fun() -> hog(Until) end) || _ <- lists:seq(1, list_to_integer(Hogs))],
    beat(Until).

to_number(Text) ->
    try list_to_float(Text) catch error:badarg -> list_to_integer(Text) end.

hog(Until) ->
    count(1000000),
    case erlang:monotonic_time(microsecond) < Until of
        true -> hog(Until);
        false -> ok
    end.

count(0) -> ok;
count(N) -> count(N - 1).

beat(Until) ->
    Began = erlang:monotonic_time(microsecond),
    case Began < Until of
        true ->
            timer:sleep(5),
            Late = erlang:monotonic_time(microsecond) - Began - 5000,
            io:format("~.4f~n", [Late / 1000]),
            beat(Until);
        false -> ok
    end.
