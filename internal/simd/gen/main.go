// Command gen writes the assembly kernels of package simd with avo. It is a module of its own, so
// that users of descent do not fetch avo. Run go generate in internal/simd.
package main

import (
	"flag"
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	kind := flag.String("kind", "", "gemm, vector, images or neurons")
	level := flag.String("level", "", "avx2 or avx512")
	tables := flag.String("tables", "", "file for the tables of tile kernels")
	flag.Parse()
	if *tables != "" {
		src, err := tileTables()
		if err == nil {
			err = os.WriteFile(*tables, src, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
		return
	}
	wide := *level == "avx512"
	if !wide && *level != "avx2" {
		fmt.Fprintln(os.Stderr, "gen: -level must be avx2 or avx512")
		os.Exit(2)
	}
	ConstraintExpr("amd64,!noasm")
	for _, f64 := range []bool{false, true} {
		g := gen{f64: f64, wide: wide}
		switch *kind {
		case "gemm":
			g.gemm()
			g.pack()
			if !g.wide {
				g.transpose()
			}
		case "vector":
			g.elementwise()
			g.rows()
			g.updates()
			g.math()
			g.reductions()
		case "images":
			g.images()
		case "neurons":
			g.neurons()
		default:
			fmt.Fprintln(os.Stderr, "gen: -kind must be gemm, vector, images or neurons")
			os.Exit(2)
		}
	}
	Generate()
}
