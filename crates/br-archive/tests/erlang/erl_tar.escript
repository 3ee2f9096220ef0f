#!/usr/bin/env escript
%%! +fnu
%% create ARCHIVE DIR BASE: packs the files of DIR/BASE as an EMQX node does, META.hocon from memory and everything else one by one.
%% extract ARCHIVE DIR: as an EMQX node does.

main(["create", Archive, Dir, Base]) ->
    {ok, Tar} = erl_tar:open(Archive, [write, compressed]),
    {ok, Meta} = file:read_file(filename:join([Dir, Base, "META.hocon"])),
    ok = erl_tar:add(Tar, Meta, filename:join(Base, "META.hocon"), []),
    ok = file:set_cwd(Dir),
    Files = filelib:fold_files(Base, ".*", true, fun(File, Files) -> [File | Files] end, []),
    [ok = erl_tar:add(Tar, File, File, []) || File <- Files, filename:basename(File) =/= "META.hocon"],
    ok = erl_tar:close(Tar),
    halt(0);
main(["extract", Archive, Dir]) ->
    case erl_tar:extract(Archive, [{cwd, Dir}, compressed]) of
        ok -> halt(0);
        {error, Reason} -> io:format("~ts~n", [erl_tar:format_error(Reason)]), halt(1)
    end.
