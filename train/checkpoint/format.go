package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/descent-ml/descent/train/safetensors"
)

// Version is the number of the format that this package writes; it reads this and older ones.
const Version = 1

const (
	magic      = "descent-checkpoint"
	modelFile  = "model.safetensors"
	stateFile  = "state.json"
	optimFile  = "optimizer.safetensors"
	stateLimit = 64 << 20
)

// ErrNotOurs is wrapped by the error about a state.json that another program wrote.
var ErrNotOurs = errors.New("not a descent checkpoint")

// VersionError says that a checkpoint was written by a newer version.
type VersionError struct{ Found int }

func (e VersionError) Error() string {
	return fmt.Sprintf("checkpoint format %d, expected at most %d\nhint: a newer descent wrote it; update this one", e.Found, Version)
}

// Header is what is known of a checkpoint before its contents are looked at.
type Header struct {
	Format     string `json:"format"`
	Version    int    `json:"version"`
	Generation int64  `json:"generation"` // rises by one with each save of a run
	Parent     int64  `json:"parent_step"`
	Step       int64  `json:"step"`
	Config     string `json:"config_sha256"`

	Files map[string]safetensors.Digest `json:"files"`
}

type state struct {
	Header
	State json.RawMessage `json:"state"`
}

// The end of state.json is its own digest, so that it is the last thing written:
//
//	… ,"sha256":"64 digits"}\n
const (
	tailStart = `,"sha256":"`
	tailEnd   = "\"}\n"
	tailSize  = len(tailStart) + 2*sha256.Size + len(tailEnd)
)

// marshalState returns the contents of state.json.
func marshalState(h Header, contents any) ([]byte, error) {
	raw, err := json.Marshal(contents)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(state{h, raw})
	if err != nil {
		return nil, err
	}
	b = b[:len(b)-1] // the closing brace comes after the digest
	sum := sha256.Sum256(b)
	b = append(b, tailStart...)
	b = append(b, hex.EncodeToString(sum[:])...)
	return append(b, tailEnd...), nil
}

// unmarshalState verifies and reads the contents of state.json.
func unmarshalState(b []byte) (state, error) {
	var s state
	if !bytes.HasPrefix(b, []byte(`{"format":"`+magic+`"`)) {
		if n := len(b); n < len(magic)+12 && bytes.HasPrefix([]byte(`{"format":"`+magic+`"`), b) {
			return s, fmt.Errorf("%s: %w", stateFile, safetensors.TruncatedError{At: int64(n), Want: int64(n + tailSize)})
		}
		return s, fmt.Errorf("%s: %w", stateFile, ErrNotOurs)
	}
	// The version comes before the digest in meaning: a newer format may check itself otherwise.
	var version int
	if _, err := fmt.Sscanf(string(b[len(magic)+12:min(len(b), len(magic)+48)]), `,"version":%d,`, &version); err == nil && version > Version {
		return s, fmt.Errorf("%s: %w", stateFile, VersionError{version})
	}
	n := len(b) - tailSize
	if n < 0 || !bytes.HasSuffix(b, []byte(tailEnd)) || !bytes.HasPrefix(b[n:], []byte(tailStart)) {
		return s, fmt.Errorf("%s: %w", stateFile, safetensors.TruncatedError{At: int64(len(b)), Want: int64(len(b) + tailSize)})
	}
	sum := sha256.Sum256(b[:n])
	if hex.EncodeToString(sum[:]) != string(b[n+len(tailStart):len(b)-len(tailEnd)]) {
		return s, fmt.Errorf("%s: checksum mismatch", stateFile)
	}
	if err := json.Unmarshal(append(b[:n:n], '}'), &s); err != nil {
		return s, fmt.Errorf("%s: %w: %v", stateFile, ErrNotOurs, err)
	}
	if s.Version < 1 || s.Generation < 1 {
		return s, fmt.Errorf("%s: %w: version %d, generation %d", stateFile, ErrNotOurs, s.Version, s.Generation)
	}
	return s, nil
}
