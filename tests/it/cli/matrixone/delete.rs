//! `br matrixone delete`: backups that others need are not deleted.

use std::fs;

use super::Mo;

#[test]
fn backup_that_others_need_is_not_deleted() {
    let mo = Mo::new();
    let full = mo.backup();
    let first = mo.backup_since(&full);
    let second = mo.backup_since(&first);
    let lone = mo.backup();
    let output = mo.run(&format!("delete {full}")).expect(2);
    assert!(
        output.stderr.contains(&first) && output.stderr.contains(&second),
        "{output}"
    );
    assert!(!output.stderr.contains(&lone), "{output}");
    mo.run(&format!("delete {second}")).expect(0);
    mo.assert_output(
        "delete",
        &mo.run(&format!("delete {full} --cascade")).expect(0),
    );
    assert_eq!(mo.states(), [(lone.clone(), "complete".to_owned())]);
    let left: Vec<_> = fs::read_dir(mo.at("backups")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    mo.assert_output(
        "delete json",
        &mo.run(&format!("delete {lone} --json")).expect(0),
    );
    assert!(mo.states().is_empty());
    mo.run(&format!("delete {lone}")).expect(2);
}

#[test]
fn not_delete_data_removes_only_catalogue_entry() {
    let mo = Mo::new();
    let full = mo.backup();
    let increment = mo.backup_since(&full);
    let output = mo
        .run(&format!("delete {full} --not_delete_data"))
        .expect(0);
    assert!(output.stdout.contains(&full), "{output}");
    assert!(mo.at(&format!("backups/full-{full}/mo_meta")).exists());
    mo.run(&format!("check {increment}")).expect(0);
    let place = "--backup_dir filesystem --backup_path backups";
    mo.run(&format!("check {full} {place}")).expect(0);
}

/// The layout of early releases of `mo_br`: the backup's files are in the named folder itself, next to unrelated files.
#[test]
fn deleting_backup_without_folder_keeps_unrelated_files() {
    let mo = Mo::new();
    let id = mo.backup();
    let folder = mo.at("flat");
    fs::rename(mo.at(&format!("backups/full-{id}")), &folder).unwrap();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    let sum = String::from_utf8_lossy(&fs::read(folder.join("tae/tae_sum")).unwrap()).into_owned();
    let (_, time) = sum.split_at(sum.find("20").unwrap());
    let time = &time[.."2024-05-13 12:00:12".len()];
    let line = format!(
        "{id},276000,filesystem,{},{time} +0000,1.7s,{time} +0000\n",
        folder.display()
    );
    mo.session.write("old/mo_br.meta", line);
    mo.run(&format!("check {id} --meta_path old/mo_br.meta"))
        .expect(0);
    // Another backup was at this location before: it is not the one to delete.
    let gone = "01942b54-0000-7000-8000-000000000009";
    let line = fs::read_to_string(mo.at("old/mo_br.meta")).unwrap();
    let other = line.replace(&id, gone).replace(&time[..10], "2023-01-02");
    mo.session.write("older/mo_br.meta", other);
    mo.run(&format!("check {gone} --meta_path older/mo_br.meta"))
        .expect(10);
    mo.run(&format!("delete {gone} --meta_path older/mo_br.meta"))
        .expect(0);
    assert!(folder.join("mo_meta").exists());
    // A deletion that was interrupted is done again.
    fs::remove_file(folder.join("mo_meta.sha256")).unwrap();
    fs::remove_file(folder.join("mo_meta")).unwrap();
    mo.run(&format!("delete {id} --meta_path old/mo_br.meta"))
        .expect(0);
    let left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|item| item.unwrap().file_name())
        .collect();
    assert_eq!(left, ["notes.txt"]);
}

/// A different or missing catalogue must not put a backup in danger: dependent backups name their base themselves.
#[test]
fn backup_needed_only_according_to_files_is_not_deleted() {
    let mo = Mo::new();
    let full = mo.backup();
    mo.server.cluster().insert(2);
    let objects = mo.objects();
    let line = format!(
        "matrixone backup SERVER --location backups --base-id {full} --meta-path elsewhere/mo_br.meta"
    );
    fs::create_dir(mo.at("elsewhere")).unwrap();
    fs::copy(
        mo.at("br-matrixone.json"),
        mo.at("elsewhere/br-matrixone.json"),
    )
    .unwrap();
    let increment = super::id_of(&mo.run(&line).expect(0));
    assert_eq!(
        mo.states().len(),
        1,
        "this catalogue does not contain the backup"
    );
    let output = mo.run(&format!("delete {full}")).expect(2);
    assert!(output.stderr.contains(&increment), "{output}");
    let there = "--meta_path elsewhere/mo_br.meta";
    mo.run(&format!("check {increment} {there}")).expect(0);
    mo.run(&format!(
        "restore {increment} {there} --restore_dir filesystem --restore_path mo"
    ))
    .expect(0);
    super::assert_holds(&super::unframed(&mo.at("mo/mo-data/shared")), &objects);

    // The list of this backup is damaged: it is not known what it needs.
    let list = mo.at(&format!("backups/incremental-{increment}/tae/tae_list"));
    let whole = fs::read(&list).unwrap();
    super::change(&list, |bytes| bytes[40] ^= 1);
    let output = mo.run(&format!("delete {full} --cascade")).expect(14);
    assert!(
        output.stderr.contains("cannot determine") && output.stderr.contains(&increment),
        "{output}"
    );
    fs::write(&list, whole).unwrap();
    // Without a timestamp and without a list of this backup, the lists of the others decide.
    for (backup, file) in [
        (format!("full-{full}"), "tae_sum"),
        (format!("incremental-{increment}"), "tae_sum"),
        (format!("full-{full}"), "tae_list.sha256"),
    ] {
        let path = mo.at(&format!("backups/{backup}/tae/{file}"));
        let whole = fs::read(&path).unwrap();
        super::change(&path, |bytes| bytes[10] ^= 1);
        let output = mo.run(&format!("delete {full}")).expect(2);
        assert!(
            output.stderr.contains(&increment),
            "{backup}/{file}: {output}"
        );
        fs::write(&path, whole).unwrap();
    }

    let output = mo.run(&format!("delete {full} --cascade")).expect(0);
    assert!(
        output.stdout.contains(&increment) && output.stdout.contains(&full),
        "{output}"
    );
    assert_eq!(fs::read_dir(mo.at("backups")).unwrap().count(), 0);
}

/// br must not forget backups on a disk that is not mounted.
#[test]
fn missing_folder_is_not_treated_as_empty() {
    let mo = Mo::new();
    let id = mo.backup();
    fs::rename(mo.at("backups"), mo.at("elsewhere")).unwrap();
    let output = mo.run(&format!("delete {id}")).expect(10);
    assert!(output.stderr.contains("mount it"), "{output}");
    fs::rename(mo.at("elsewhere"), mo.at("backups")).unwrap();
    mo.run(&format!("check {id}")).expect(0);
    mo.run(&format!("delete {id}")).expect(0);
}
