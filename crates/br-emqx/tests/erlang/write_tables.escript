#!/usr/bin/env escript
%% Writes DIR/base/TABLE and DIR/incoming/TABLE as an EMQX node exports its tables.

main([Dir]) ->
    ok = mnesia:start(),
    Tables = [{t_set, set}, {t_ordered, ordered_set}, {t_bag, bag}],
    [create(Table, Type) || {Table, Type} <- Tables],
    %% Once for both sides: a reference made a second time is another one.
    Values = values(),
    [export(Dir, "base", Table, base(Type, Values)) || {Table, Type} <- Tables],
    [export(Dir, "incoming", Table, incoming(Type, Values)) || {Table, Type} <- Tables],
    halt(0).

create(Table, Type) ->
    {atomic, ok} = mnesia:create_table(Table, [
        {type, Type},
        {ram_copies, [node()]},
        {record_name, row},
        {attributes, [key, value, extra]}
    ]).

export(Dir, Side, Table, Records) ->
    {atomic, ok} = mnesia:clear_table(Table),
    [ok = mnesia:dirty_write(Table, Record) || Record <- Records],
    File = filename:join([Dir, Side, atom_to_list(Table)]),
    ok = filelib:ensure_dir(File),
    Options = [{name, Table}, {min, [Table]}, {allow_remote, false}, {ram_overrides_dump, true}],
    {ok, Table, _} = mnesia:activate_checkpoint(Options),
    ok = mnesia:backup_checkpoint(Table, File),
    ok = mnesia:deactivate_checkpoint(Table).

base(bag, _) ->
    [{row, k, 1, a}, {row, k, 2, a}, {row, 'ключ', 1, a}];
base(_, Values) ->
    [{row, Key, Value, base} || {Key, Value} <- Values] ++
        [{row, 1, integer, base}, {row, <<"base">>, only, base}].

incoming(bag, _) ->
    [{row, k, 2, a}, {row, k, 3, a}, {row, other, 1, a}];
incoming(_, Values) ->
    [{row, 1.0, float, incoming}, {row, <<"incoming">>, only, incoming}] ++
        [{row, Key, Value, side(Key)} || {Key, Value} <- Values].

%% Half of the records are the same on both sides.
side(Key) ->
    case erlang:phash2(Key, 2) of
        0 -> base;
        1 -> incoming
    end.

values() ->
    Values = [
        #{a => 1, <<"b">> => [x], 2 => #{}, 2.0 => 1},
        maps:from_list([{N, N * N} || N <- lists:seq(1, 100)]),
        [1.5, -2.5e300, 1.0e-300, 0.0],
        [1 bsl 31, -(1 bsl 31), -(1 bsl 31) - 1, 1 bsl 63, -(1 bsl 63), (1 bsl 63) - 1, 1 bsl 64],
        [1 bsl 5000, -(1 bsl 5000)],
        [a, b | c],
        [[1 | 2], "text", [256, 300], lists:seq(0, 255), []],
        {self(), make_ref(), hd(erlang:ports()), fun erlang:abs/1},
        binary:copy(<<"0123456789">>, 10000),
        lists:duplicate(70000, $x),
        ['атом', 'é', 'with space', '', list_to_atom(lists:duplicate(255, $a))],
        list_to_tuple(lists:seq(1, 300)),
        <<5:3>>,
        <<1, 2, 3:2>>,
        {infinity, undefined, true, <<>>, {}, #{}},
        #{#{1 => 2} => #{[3] => {4}}}
    ],
    [{{clientid, integer_to_binary(N)}, V} || {N, V} <- lists:zip(lists:seq(1, length(Values)), Values)] ++
        [{Value, key} || Value <- Values].
