package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"
)

// sample is a comparison with the shapes that matter: several seeds, a method that diverges on one seed, one that failed
// altogether, hostile names. The curves are made up.
func sample(methods, seeds int, tuned bool) *Page {
	names := []string{"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "lion", "schedule-free-adamw", "adamax", "nadam", "radam"}
	p := &Page{
		Title: fmt.Sprintf("%d methods on digits", methods), Command: "descent compare --data digits --model mlp:64,64 --seeds 3",
		Version: "v0.1.0", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Task:     Task{Metric: "accuracy", Split: "test"},
		Target:   &Target{Split: "test", Metric: "accuracy", Value: 0.95},
		Interval: "least to greatest over 3 seeds",
		Protocol: []Fact{{"Seeds", "0, 1, 2"}, {"Epochs", "20"}, {"Batch", "64"}},
		Data:     []Fact{{"Name", "digits: handwritten digits, 8×8"}, {"Source", "UCI"}, {"SHA-256", "0123456789abcdef"}},
		Model:    []Fact{{"Model", "mlp:64,64"}, {"Parameters", "9 032"}},
		Machine:  []Fact{{"Processor", "2 cores, AVX-512"}, {"Go", "go1.26"}},
	}
	for i := range methods {
		m := Method{Name: names[i], Title: "A method", Formula: "u = μ u + g\nθ = θ − lr·u", Paper: "A. Author, Title, 2020",
			When: "always", WhenNot: "never", Rank: i + 1, Median: 0.97 - 0.004*float64(i), WallSeconds: 0.8, CPUSeconds: 1.5, Steps: 460,
			Parameters: 9032, Status: "completed", Settings: []Setting{{Name: "lr", Value: "0.01", Default: "0.001", Doc: "learning rate", Tuned: tuned}}}
		m.Low, m.High = m.Median-0.006, m.Median+0.004
		m.ToTarget, m.Reached = &Effort{0.4 + 0.1*float64(i), 200, 9}, seeds
		for s := range seeds {
			r := Run{Seed: uint64(s), Status: "completed", Final: m.Median + 0.001*float64(s), WallSeconds: 0.8, CPUSeconds: 1.4, Steps: 460, Digest: strings.Repeat("ab", 32)}
			for k := range 21 {
				e := float64(k)
				rate := 0.12 + 0.05*float64(methods-i)/float64(methods)
				noise := 0.02 * math.Sin(float64(7*k+13*s+5*i))
				loss := 0.06 + 2.3*math.Exp(-rate*e*2)*(1+noise) + 0.01*float64(i)
				acc := 0.975 - 0.004*float64(i) - 0.87*math.Exp(-rate*e*3) + noise*0.1
				r.Points = append(r.Points, Point{Step: int64(23 * k), Examples: int64(1437 * k), Epoch: e, Seconds: e * (0.03 + 0.002*float64(s)),
					Train: Score{loss * 0.6, acc + 0.01}, Val: NoScore, Test: Score{loss, acc},
					GradNorm: loss, StepSize: 0.01 / (1 + e), BatchLoss: math.NaN()})
			}
			m.Runs = append(m.Runs, r)
		}
		if tuned {
			m.Tuning = &Tuning{Setting: "lr", Chosen: 0.01, Seconds: 3.2}
			for k := range 8 {
				v := math.Pow(10, -4+float64(k)*0.5)
				result := 0.97 - 0.02*math.Pow(math.Log10(v/0.01)-0.1*float64(i), 2)
				if k == 7 {
					result = math.NaN()
				}
				m.Tuning.Trials = append(m.Tuning.Trials, Trial{Value: v, Result: result, Status: "completed"})
			}
		}
		p.Methods = append(p.Methods, m)
	}
	if seeds > 2 && methods > 3 {
		d := &p.Methods[3]
		d.Runs[1].Points = d.Runs[1].Points[:4]
		d.Runs[1].Status, d.Runs[1].Final, d.Runs[1].Message = "diverged", math.NaN(), "loss NaN at step 92"
		d.Status, d.Failed, d.ToTarget = "2 completed, 1 diverged", true, nil
		f := &p.Methods[methods-1]
		*f = Method{Name: f.Name, Title: f.Title, Median: math.NaN(), Low: math.NaN(), High: math.NaN(), WallSeconds: math.NaN(),
			CPUSeconds: math.NaN(), Steps: math.NaN(), Status: "3 failed", Failed: true}
	}
	return p
}

func render(t *testing.T, p *Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageAsksNothingOfTheNetwork(t *testing.T) {
	html := render(t, sample(9, 3, true))
	// The chart library's licence header names its home; nothing may load from there.
	load := regexp.MustCompile(`(?i)(src|href|action|data|poster)\s*=\s*["']?\s*(https?:|//)|url\(\s*["']?(https?:|//)|@import|\bfetch\(|XMLHttpRequest|WebSocket\(|\bimport\(`)
	if m := load.FindString(html); m != "" {
		t.Errorf("the page loads something: %q", m)
	}
	for _, tag := range []string{"<script src", "<link rel=\"stylesheet", "<img", "<iframe"} {
		if strings.Contains(html, tag) {
			t.Errorf("the page has %s", tag)
		}
	}
}

func TestPageEscapesNames(t *testing.T) {
	evil := `</script><img src=x onerror="alert(1)">`
	p := sample(2, 1, true)
	p.Title, p.Command, p.Partial, p.Notes = evil, evil, evil, []string{evil}
	p.Data = append(p.Data, Fact{evil, evil})
	p.Methods[0].Name, p.Methods[0].Formula, p.Methods[0].Status = evil, evil, evil
	p.Methods[0].Settings[0].Value = evil
	p.Methods[0].Tuning.Setting = evil
	html := render(t, p)
	if strings.Contains(html, "<img") || strings.Contains(html, `onerror="alert`) {
		t.Error("a name reached the page unescaped")
	}
	if n := strings.Count(html, "</script>"); n != 3 {
		t.Errorf("%d </script> in the page, want its own 3", n)
	}
}

func TestAnyPageCanBeDrawn(t *testing.T) {
	for _, p := range []*Page{{}, {Methods: []Method{{}}}, sample(1, 1, false), sample(12, 5, false)} {
		html := render(t, p)
		if !strings.HasSuffix(strings.TrimSpace(html), "</html>") {
			t.Error("the page is cut short")
		}
		if strings.Contains(html, "NaN") && strings.Contains(html[strings.Index(html, `id="data"`):], `:NaN`) {
			t.Error("NaN in the page's data is not JSON")
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWriteReturnsTheWritersError(t *testing.T) {
	if err := sample(2, 1, false).Write(fullDisk{}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
}

func TestSummarySaysNoMoreThanTheNumbers(t *testing.T) {
	p := sample(3, 3, false)
	got := strings.Join(p.summary(), " ")
	for _, want := range []string{"sgd has the best median test accuracy, 97.00\u202f%.", "The range of sgd over the seeds overlaps that of momentum and nesterov: 3 seeds do not", "sgd was the first to reach the target: 0.40 s, 200 steps"} {
		if !strings.Contains(got, want) {
			t.Errorf("summary %q lacks %q", got, want)
		}
	}
	p.Methods[1].Rank = 1
	if got := p.summary()[0]; !strings.HasPrefix(got, "sgd and momentum share the best median test accuracy") {
		t.Errorf("two firsts: %q", got)
	}
	for i := range p.Methods {
		p.Methods[i].Rank, p.Methods[i].Median = 0, math.NaN()
	}
	if got := p.summary()[0]; !strings.HasPrefix(got, "No run") {
		t.Errorf("summary without a result: %q", got)
	}
}

func TestChartLibraryIsTheReleasedOne(t *testing.T) {
	sum := sha256.Sum256([]byte(chartJS))
	if got := hex.EncodeToString(sum[:]); got != "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f" {
		t.Errorf("uPlot.iife.min.js has SHA-256 %s; assets/README.md names the released file's", got)
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(1234567), "1\u202f234\u202f567"}, {count(9999), "9999"}, {count(math.NaN()), "–"}, {count(int64(-12345)), "−12\u202f345"},
		{seconds(0.123), "0.12"}, {seconds(12.34), "12.3"}, {seconds(123.4), "123"}, {seconds(math.NaN()), "–"},
		{metricText("accuracy", 0.97777), "97.78\u202f%"}, {metricText("rmse", 54.321), "54.32"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// TestCharts looks at pages in a real browser: every chart must be there with ink on its canvas, at desktop and at phone
// width, without an error of the script and without anything wider than the window. One browser shows all pages in
// frames, which send what they see to the page around them.
func TestCharts(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed (Debian: apt-get install chromium): the page is not looked at in a browser")
	}
	const probe = `<script>
window.problems = [];
addEventListener("error", e => problems.push(e.message));
console.error = (...a) => problems.push(a.join(" "));
</script>`
	const check = `<script>
addEventListener("load", () => setTimeout(() => {
  const ink = c => { const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; };
  const canvases = [...document.querySelectorAll("canvas")];
  parent.postMessage(document.title + ": drawn=" + document.body.dataset.drawn + " canvases=" + canvases.length + " ink=" + canvases.filter(c => c.width > 100 && ink(c) > 2000).length +
    " wide=" + (document.documentElement.scrollWidth > innerWidth) + " problems=[" + problems.join("; ") + "]", "*");
}, 100));
</script>`
	cases := []struct {
		page         *Page
		width, count int
	}{{sample(9, 3, true), 1280, 5}, {sample(9, 3, false), 390, 4}, {sample(1, 1, false), 1000, 4}, {probed(sample(3, 2, false)), 1280, 8}}
	dir := t.TempDir()
	outer := `<pre id="result"></pre><script>addEventListener("message", e => document.getElementById("result").textContent += e.data + "\n");</script>`
	var want []string
	for i, c := range cases {
		c.page.Title = fmt.Sprintf("page %d", i)
		html := strings.Replace(render(t, c.page), "<style>", probe+"<style>", 1)
		html = strings.Replace(html, "</body>", check+"</body>", 1)
		name := fmt.Sprintf("%d.html", i)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(html), 0o644); err != nil {
			t.Fatal(err)
		}
		outer += fmt.Sprintf(`<iframe src="%s" style="width:%dpx;height:900px;border:0"></iframe>`, name, c.width)
		want = append(want, fmt.Sprintf("page %d: drawn=%d canvases=%d ink=%d wide=false problems=[]", i, c.count, c.count, c.count))
	}
	file := filepath.Join(dir, "outer.html")
	if err := os.WriteFile(file, []byte(outer), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+filepath.Join(dir, "profile"), "--window-size=1400,1000",
		"--virtual-time-budget=2000", "--dump-dom", "file://"+file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	dom, err := cmd.Output()
	if err != nil {
		t.Skipf("chromium does not run here: %v\n%s", err, stderr.String())
	}
	m := regexp.MustCompile(`<pre id="result">([^<]*)</pre>`).FindSubmatch(dom)
	if m == nil {
		t.Fatalf("no result; %d bytes of page\n%s", len(dom), stderr.String())
	}
	got := strings.Split(strings.TrimSpace(string(m[1])), "\n")
	sort.Strings(got)
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("in the browser:\n%s\nwant:\n%s", g, w)
	}
}

// probed adds measurements of the curvature, preconditioned ones for the first method.
func probed(p *Page) *Page {
	for i := range p.Methods {
		for j := range p.Methods[i].Runs {
			r := &p.Methods[i].Runs[j]
			for k := range 6 {
				v := map[string]float64{}
				for m, matrix := range []string{"hessian", "ggn", "preconditioned_hessian", "preconditioned_ggn"} {
					if m > 1 && (i > 0 || k == 0) {
						continue
					}
					for q, quantity := range []string{"max", "trace", "condition", "spread"} {
						v[matrix+"_"+quantity] = float64(1+q+i+j) * math.Exp(-float64(k*(1+m))/4)
					}
				}
				r.Probes = append(r.Probes, Probe{Step: int64(k * 100), Examples: int64(k * 6400), Epoch: float64(k), Seconds: float64(k), Values: v})
			}
		}
	}
	return p
}

// A probe's columns hold what was measured, null where there was nothing, and nothing else.
func TestProbeColumns(t *testing.T) {
	p := probed(sample(2, 1, false))
	runs := p.charts().Methods
	first, second := runs[0].Runs[0].Probes, runs[1].Runs[0].Probes
	if c := first["preconditioned_ggn_max"]; len(c) != 6 || finite(float64(c[0])) || !finite(float64(c[1])) {
		t.Errorf("preconditioned column %v, want a gap and five numbers", c)
	}
	if c := second["preconditioned_ggn_max"]; c != nil {
		t.Errorf("column %v of what was not measured", c)
	}
	if c := second["ggn_max"]; len(c) != 6 || float64(c[0]) != 2 {
		t.Errorf("column %v, want 2 first", c)
	}
	if c := sample(1, 1, false).charts().Methods[0].Runs[0].Probes; c != nil {
		t.Errorf("probes %v of a run without", c)
	}
}

// TestWriteSample leaves sample pages in $DESCENT_REPORT_SAMPLES for eyes.
func TestWriteSample(t *testing.T) {
	dir := os.Getenv("DESCENT_REPORT_SAMPLES")
	if dir == "" {
		t.Skip("set DESCENT_REPORT_SAMPLES to a folder to get sample pages")
	}
	for name, p := range map[string]*Page{"compare": sample(9, 3, true), "one": sample(1, 1, false), "many": sample(12, 5, false)} {
		if err := os.WriteFile(filepath.Join(dir, name+".html"), []byte(render(t, p)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
