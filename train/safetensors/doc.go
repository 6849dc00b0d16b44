// Package safetensors reads and writes the safetensors format, with checksums.
//
// A file is an 8-byte little-endian length n, a JSON object of n bytes, and the raw bytes of the
// tensors, little-endian, row-major:
//
//	{"__metadata__": {"key": "value", …}, "dense1.weight": {"dtype": "F32", "shape": [784, 512], "data_offsets": [0, 1605632]}, …}
//
// Offsets count from the end of the header; together the tensors cover the rest of the file without
// gap or overlap. The format has no room for checksums, so that a flipped bit in a weight goes
// unseen. [Write] therefore adds, as metadata that other readers ignore, the CRC-32C of every tensor
// under "crc32c:NAME", and, as the first entry, under "descent.sha256", the SHA-256 of the whole file
// with that entry's own 64 digits read as zeros. [File.Verify] checks them: every byte of the file is
// covered. Files by other programs have no such entries; they are read, and [File.Checked] says so.
//
// What a reader is given is hostile until shown otherwise: the header is at most 100 MB and at most
// as long as the file, duplicate keys, unknown element types, shapes whose size overflows, offsets
// out of order and bytes after the end are errors. No allocation is larger than the file. Nothing here
// panics on any input. Errors tell apart a file that is of another kind ([ErrFormat]), one that is cut
// short ([TruncatedError]) and one whose contents have changed ([ChecksumError]).
package safetensors
