//go:build slow

package train

import "testing"

func TestKillFiveHundredTimes(t *testing.T) { killRuns(t, 500) }
