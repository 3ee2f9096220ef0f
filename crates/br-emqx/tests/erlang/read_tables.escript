#!/usr/bin/env escript
%% same FILE FILE: both backups hold the same items, apart from the header.
%% merged BASE INCOMING MERGED: restoring MERGED gives what restoring BASE and then INCOMING gives.

main(["same", A, B]) ->
    Items = items(A),
    Items =:= items(B) orelse fail({different, A, B}),
    io:format("~b items~n", [length(Items)]),
    halt(0);
main(["merged", Base, Incoming, Merged]) ->
    ok = mnesia:start(),
    [{schema, Table, Definition} | _] = items(Base),
    Options = [lists:keyfind(P, 1, Definition) || P <- [type, record_name, attributes]],
    {atomic, ok} = mnesia:create_table(Table, [{ram_copies, [node()]} | Options]),
    restore(Table, Base),
    restore(Table, Incoming),
    Expected = records(Table),
    {atomic, ok} = mnesia:clear_table(Table),
    restore(Table, Merged),
    Expected =:= records(Table) orelse fail({different, Table}),
    io:format("~b records~n", [length(Expected)]),
    halt(0).

items(File) ->
    Collect = fun(Item, Items) -> {[Item], [Item | Items]} end,
    {ok, Items} = mnesia:traverse_backup(File, mnesia_backup, dummy, read_only, Collect, []),
    lists:reverse(Items).

restore(Table, File) ->
    {atomic, [Table]} = mnesia:restore(File, [{default_op, keep_tables}]).

records(Table) ->
    lists:sort(ets:tab2list(Table)).

fail(Reason) ->
    io:format("~p~n", [Reason]),
    halt(1).
