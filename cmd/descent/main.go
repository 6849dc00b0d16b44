// Command descent trains neural networks and compares training algorithms. Type "descent --help".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		// The first signal asks everything to save and end, the second ends the process.
		first := <-signals
		cancel(stopped{first})
		second := <-signals
		os.Exit(stopped{second}.exitStatus())
	}()
	os.Exit(newApp(ctx, os.Stdout, os.Stderr).run(os.Args[1:]))
}

// stopped is the cause of a context that a signal cancelled.
type stopped struct{ signal os.Signal }

func (s stopped) Error() string { return "stopped by signal: " + s.signal.String() }

// exitStatus follows the shells: 128 and the signal's number.
func (s stopped) exitStatus() int {
	if s.signal == syscall.SIGTERM {
		return 143
	}
	return 130
}
