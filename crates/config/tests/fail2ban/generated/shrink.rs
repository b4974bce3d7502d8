//! Makes a tree that fails smaller while it still fails.

use super::tree::Tree;

/// The smallest tree that is found by leaving out files, blocks, lines and words of `tree` for which `fails` holds.
pub(crate) fn shrink(tree: Tree, mut fails: impl FnMut(&Tree) -> bool) -> Tree {
    let mut tree = tree;
    loop {
        let before = size(&tree);
        tree = pass(
            tree,
            &mut fails,
            |tree| tree.files.len(),
            |tree, from, count| {
                // Behind a missing one of these stands the one that is built in.
                let mut at = 0;
                tree.files.retain(|file| {
                    at += 1;
                    !(from + 1..=from + count).contains(&at) || matches!(&*file.name, "jail.conf" | "fail2ban.conf")
                });
            },
        );
        for file in (0..tree.files.len()).rev() {
            tree = pass(
                tree,
                &mut fails,
                |tree| tree.files[file].blocks.len(),
                |tree, from, count| {
                    tree.files[file].blocks.drain(from..from + count);
                },
            );
            for block in (0..tree.files[file].blocks.len()).rev() {
                tree = pass(
                    tree,
                    &mut fails,
                    |tree| tree.files[file].blocks[block].len() - 1,
                    |tree, from, count| {
                        tree.files[file].blocks[block].drain(1 + from..1 + from + count);
                    },
                );
                for line in 0..tree.files[file].blocks[block].len() {
                    tree = pass(
                        tree,
                        &mut fails,
                        |tree| words(tree, file, block, line),
                        |tree, from, count| {
                            let text = &mut tree.files[file].blocks[block][line];
                            let mut words: Vec<&str> = text.split(' ').collect();
                            words.drain(1 + from..1 + from + count);
                            *text = words.join(" ");
                        },
                    );
                }
            }
        }
        if size(&tree) == before {
            return tree;
        }
    }
}

fn words(tree: &Tree, file: usize, block: usize, line: usize) -> usize {
    tree.files[file].blocks[block][line].split(' ').count() - 1
}

fn size(tree: &Tree) -> usize {
    tree.files.iter().map(|file| file.name.len() + file.text().len()).sum()
}

/// Leaves out as many of `count` pieces as possible: halves first, single ones last.
fn pass(
    tree: Tree,
    fails: &mut impl FnMut(&Tree) -> bool,
    count: impl Fn(&Tree) -> usize,
    remove: impl Fn(&mut Tree, usize, usize),
) -> Tree {
    let mut tree = tree;
    let mut step = count(&tree).div_ceil(2).max(1);
    loop {
        let mut from = 0;
        while from + step <= count(&tree) {
            let mut smaller = tree.clone();
            remove(&mut smaller, from, step);
            if count(&smaller) < count(&tree) && fails(&smaller) {
                tree = smaller;
            } else {
                from += step;
            }
        }
        if step == 1 {
            return tree;
        }
        step = (step / 2).max(1);
    }
}
