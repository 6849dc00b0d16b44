package train

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// helperDir names the run folder in the environment of a helper process, which trains and is killed.
const helperDir = "DESCENT_TEST_TRAIN_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		if err := helper(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// helper begins the run in dir, or goes on with it.
func helper(dir string) error {
	_, err := ReadRun(dir)
	if err != nil {
		_, err = Run(context.Background(), killConfig(), Options{Out: dir})
		return err
	}
	_, err = Resume(context.Background(), dir, Options{})
	return err
}
