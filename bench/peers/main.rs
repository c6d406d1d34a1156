//! What peers cost: updates from one node to two others, as they are measured here; and what limits for the cluster cost
//! a node, by the number of nodes, which no machine holds.

mod load;
mod scale;

fn main() {
    load::memory();
    load::updates();
    scale::table();
}
