// Package checkpoint keeps the states of a run so that whatever happens to the process, the machine
// or the disk, a whole one can be found again.
//
// # Files
//
// In a run folder, checkpoint/ is the newest checkpoint and checkpoint-N/ are the ones before it, with
// rising generation numbers N. Each holds
//
//	model.safetensors      parameters and running statistics: what evaluation and other programs need
//	optimizer.safetensors  everything else that is an array: the method's state, kept best parameters
//	state.json             counters and positions; size and SHA-256 of the other two; its own SHA-256
//
// # What is promised
//
// A save writes checkpoint.tmp/, syncs its files and itself, renames checkpoint/ to checkpoint-N/,
// syncs the run folder, renames checkpoint.tmp/ to checkpoint/, syncs the run folder again, and only
// then removes the oldest ones. So at every instant, that between the two renames included, a
// complete older or newer checkpoint exists under a name that [Store.Open] looks at. Open does not
// trust names: it reads every candidate, checkpoint.tmp/ included, verifies every byte by checksum,
// and takes the valid one of the highest generation.
//
// A failed save changes nothing that exists: it is an error value for the caller, who tries again
// later. A writer that finds a damaged checkpoint renames it to ….corrupt and keeps it
// ([Store.SetAside]); nothing is ever deleted except checkpoints older than the last k valid saves,
// and unfinished temporary folders.
//
// Every byte is covered: CRC-32C for each tensor and a SHA-256 of each tensor file (see package
// safetensors), and a SHA-256 at the end of state.json over all that comes before it, the other
// files' digests included, so that files of different saves cannot be mixed.
//
// Loading tells apart: not ours, a newer version, truncated at byte n, a checksum mismatch in a named
// tensor, and, by [Match], another model, with the differing names and shapes.
//
// # Limits
//
// Disks that acknowledge a sync before it is done void the promise on power loss. Windows cannot sync
// directories; there the renames are as durable as the file system's journal. One process may write a
// run folder at a time; any number may read meanwhile.
package checkpoint
