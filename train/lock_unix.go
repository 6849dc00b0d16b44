//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package train

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockRun makes this process the only one that writes the run folder, until unlock is called or the
// process ends, however it ends.
func lockRun(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, "run.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: another process is writing this run: %w\nhint: wait for it, or stop it", path, err)
	}
	return func() { f.Close() }, nil
}
