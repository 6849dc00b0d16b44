package train

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"
)

// killConfig is a run that saves at every third of its 276 steps.
func killConfig() Config {
	c := small()
	c.Epochs, c.Save.Steps, c.Eval.Every = 12, 3, 20
	return c
}

// killed runs a helper process in dir and kills it after delay. It reports whether the process had
// ended by itself.
func killed(t *testing.T, dir string, delay time.Duration) bool {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), helperDir+"="+dir)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(delay, func() { cmd.Process.Kill() }) // SIGKILL
	err = cmd.Wait()
	if timer.Stop() {
		if err != nil && !bytes.Contains(out.Bytes(), []byte("complete")) {
			t.Fatalf("the helper failed: %v\n%s", err, out.Bytes())
		}
		return true
	}
	return false
}

// killRuns kills training processes at random moments of their lives, kills times in all, and resumes each run until
// it ends. Every run must end on the same parameters.
func killRuns(t *testing.T, kills int) {
	start := time.Now()
	killed(t, t.TempDir()+"/whole", time.Hour)
	whole := time.Since(start) // of a process that is left alone, on this machine at this moment
	want := mustRun(t, killConfig(), Options{}).ParamsSHA256
	rng := rand.New(rand.NewPCG(uint64(kills), 15))
	done, runs := 0, 0
	for done < kills {
		dir := t.TempDir() + "/run"
		for {
			delay := time.Hour
			if done < kills {
				delay = time.Duration(rng.Int64N(int64(whole)))
			}
			begun := time.Now()
			if killed(t, dir, delay) {
				whole = (3*whole + time.Since(begun)) / 4 // the machine may be less or more busy now
				break
			}
			done++
		}
		runs++
		r, err := ReadResult(dir)
		if err != nil || r.ParamsSHA256 != want || r.Status != Completed {
			t.Fatalf("after %d kills: %+v, %v", done, r, err)
		}
		s, err := readLog(dir)
		if err != nil || s.Damaged != 0 {
			t.Fatalf("after %d kills the log has %d damaged lines: %v", done, s.Damaged, err)
		}
	}
	t.Logf("%d kills in %d runs, all of which ended on the same parameters", done, runs)
}

func TestKill(t *testing.T) { killRuns(t, 20) }
