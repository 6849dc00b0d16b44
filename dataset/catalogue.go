package dataset

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/internal/nearest"
)

// Info describes a set that [Open] knows by name.
type Info struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Kind    string `json:"kind"` // "embedded", "files" or "generated"
	Task    Task   `json:"task"`
	Shape   []int  `json:"shape"` // of one example
	Classes int    `json:"classes,omitempty"`
	Outputs int    `json:"outputs"`
	Train   int    `json:"train"` // examples for training and validation
	Test    int    `json:"test"`
	Licence string `json:"licence"`
	Source  string `json:"source"`

	Folder  string     `json:"folder,omitempty"` // where files are looked for
	Files   []FileInfo `json:"files,omitempty"`
	Present bool       `json:"present"` // all files are there (their contents are checked by Open)
	Get     string     `json:"get,omitempty"`
}

// FileInfo is one file of a set: what it must be and whether it is there.
type FileInfo struct {
	Path    string `json:"path"`             // as found, or as looked for first
	Size    int64  `json:"size,omitempty"`   // of the contents, decompressed; 0 if not known
	SHA256  string `json:"sha256,omitempty"` // of the contents, decompressed
	Present bool   `json:"present"`
}

// Names returns all sets that [Open] knows by name, embedded ones first, as they are in the default data
// directory (see [DataDir]).
func Names() []Info { return NamesIn("") }

// NamesIn is [Names] with the data directory dir.
func NamesIn(dir string) []Info {
	var infos []Info
	for _, s := range sources() {
		infos = append(infos, s.info(dir))
	}
	return infos
}

// Describe returns the description of the set called name; see [NamesIn].
func Describe(name, dir string) (Info, error) {
	s, ok := sourceByName(name)
	if !ok {
		return Info{}, unknownName(name)
	}
	return s.info(dir), nil
}

// source is a row of the catalogue.
type source struct {
	name, title  string
	kind         string
	task         Task
	shape        []int
	outputs      int // classes, for classification
	train, test  int
	licence, by  string
	folder, get  string
	files        []knownFile
	alternatives []knownFile // one file that may stand for all
	read         func(*source, Options) (*table, error)
}

// info returns the description of s with files as they are in the data directory dir.
func (s *source) info(dir string) Info {
	i := Info{Name: s.name, Title: s.title, Kind: s.kind, Task: s.task, Shape: s.shape, Outputs: s.outputs,
		Train: s.train, Test: s.test, Licence: s.licence, Source: s.by, Get: s.get, Present: true}
	if s.task == Classification {
		i.Classes = s.outputs
	}
	if s.folder == "" {
		return i
	}
	i.Folder = filepath.Join(DataDir(dir), s.folder)
	for _, f := range s.files {
		path, err := f.find(i.Folder)
		i.Files = append(i.Files, FileInfo{Path: path, Size: f.size, SHA256: f.sha256, Present: err == nil})
		i.Present = i.Present && err == nil
	}
	for _, f := range s.alternatives {
		path, err := f.find(i.Folder)
		i.Files = append(i.Files, FileInfo{Path: path, Size: f.size, SHA256: f.sha256, Present: err == nil})
		i.Present = i.Present || err == nil
	}
	return i
}

func sourceByName(name string) (*source, bool) {
	for _, s := range sources() {
		if s.name == name {
			return &s, true
		}
	}
	return nil, false
}

const uciLicence = "CC BY 4.0 (UCI Machine Learning Repository), as distributed with scikit-learn, BSD-3-Clause"

// How to get the files of the sets that are not embedded.
const (
	getMNIST   = "download the four files *-ubyte.gz from https://storage.googleapis.com/cvdf-datasets/mnist/ into this folder, or name the data directory with --data-dir or DESCENT_DATA"
	getFashion = "download the four files *-ubyte.gz from https://github.com/zalandoresearch/fashion-mnist (folder data/fashion) into this folder, or install the Debian package dataset-fashion-mnist and link /usr/share/datasets/fashion-mnist here, or name the data directory with --data-dir or DESCENT_DATA"
	getCIFAR   = "download https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz and unpack it in this folder, or name the data directory with --data-dir or DESCENT_DATA"
)

const (
	generatedLicence = "none: computed"
	generatedBy      = "generated from the seed of the split"
)

// sources is the catalogue.
func sources() []source {
	return []source{
		{name: "digits", title: "Optical recognition of handwritten digits, 8×8", kind: "embedded",
			shape: []int{8, 8, 1}, outputs: 10, train: 1438, test: 359,
			licence: uciLicence, by: "E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/80",
			read: func(*source, Options) (*table, error) { return readDigits() }},
		{name: "iris", title: "Iris plants", kind: "embedded",
			shape: []int{4}, outputs: 3, train: 120, test: 30,
			licence: uciLicence, by: "R. A. Fisher, 1936; UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/53",
			read: func(*source, Options) (*table, error) { return readEmbedded("iris", "classification") }},
		{name: "wine", title: "Wine recognition by chemical analysis", kind: "embedded",
			shape: []int{13}, outputs: 3, train: 142, test: 36,
			licence: uciLicence, by: "S. Aeberhard and M. Forina, 1992, UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/109",
			read: func(*source, Options) (*table, error) { return readEmbedded("wine", "classification") }},
		{name: "breast-cancer", title: "Breast cancer Wisconsin (diagnostic)", kind: "embedded",
			shape: []int{30}, outputs: 2, train: 456, test: 113,
			licence: uciLicence, by: "W. Wolberg, O. Mangasarian, N. Street and W. Street, 1995, UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/17",
			read: func(*source, Options) (*table, error) { return readEmbedded("breast-cancer", "classification") }},
		{name: "diabetes", title: "Diabetes progression after one year", kind: "embedded", task: Regression,
			shape: []int{10}, outputs: 1, train: 354, test: 88,
			licence: "distributed with scikit-learn, BSD-3-Clause", by: "B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, Least angle regression, 2004, https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html",
			read: func(*source, Options) (*table, error) { return readEmbedded("diabetes", "regression") }},

		{name: "mnist", title: "MNIST handwritten digits, 28×28", kind: "files",
			shape: []int{28, 28, 1}, outputs: 10, train: 60000, test: 10000, licence: "CC BY-SA 3.0",
			by:     "Y. LeCun, C. Cortes and C. Burges, 1998, http://yann.lecun.com/exdb/mnist",
			folder: "mnist", get: getMNIST,
			files: mnistFiles([4]string{
				"ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
				"65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
				"0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
				"ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}),
			read: func(s *source, o Options) (*table, error) {
				return readMNIST(s, o, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"})
			}},
		{name: "fashion-mnist", title: "Fashion-MNIST articles of clothing, 28×28", kind: "files",
			shape: []int{28, 28, 1}, outputs: 10, train: 60000, test: 10000, licence: "MIT",
			by:     "H. Xiao, K. Rasul and R. Vollgraf, Zalando Research, 2017, https://github.com/zalandoresearch/fashion-mnist",
			folder: "fashion-mnist", get: getFashion,
			files: mnistFiles([4]string{
				"c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
				"bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
				"5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
				"0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"}),
			read: func(s *source, o Options) (*table, error) {
				return readMNIST(s, o, []string{"T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"})
			}},
		{name: "cifar10", title: "CIFAR-10 small colour photographs, 32×32", kind: "files",
			shape: []int{32, 32, 3}, outputs: 10, train: 50000, test: 10000, licence: "research use",
			by:     "A. Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
			folder: "cifar10", get: getCIFAR,
			files: cifarBatches(), alternatives: []knownFile{cifarArchive()}, read: readCIFAR},

		{name: "spiral", title: "Three interleaved spirals in the plane", kind: "generated",
			shape: []int{2}, outputs: 3, train: 2400, test: 600, licence: generatedLicence, by: generatedBy,
			read: func(_ *source, o Options) (*table, error) { return generateSpiral(o), nil }},
		{name: "blobs", title: "Five normal clouds in ten dimensions", kind: "generated",
			shape: []int{10}, outputs: 5, train: 1600, test: 400, licence: generatedLicence, by: generatedBy,
			read: func(_ *source, o Options) (*table, error) { return generateBlobs(o), nil }},
		{name: "quadratic", title: "Linear regression with the spectrum of DeepOBS quadratic_deep", kind: "generated", task: Regression,
			shape: []int{100}, outputs: 1, train: 1000, test: 1000, licence: generatedLicence, by: generatedBy,
			read: func(_ *source, o Options) (*table, error) { return generateQuadratic(o), nil }},
		{name: "curves", title: "Smooth curves, 28×28, for autoencoders", kind: "generated", task: Reconstruction,
			shape: []int{28, 28, 1}, outputs: 784, train: 20000, test: 10000, licence: generatedLicence, by: generatedBy,
			read: func(_ *source, o Options) (*table, error) { return generateCurves(o), nil }},
	}
}

// unknownName is the error about a name that is not in the catalogue.
func unknownName(name string) error {
	var known []string
	for _, s := range sources() {
		known = append(known, s.name)
	}
	return &Error{What: "unknown data set " + strconv.Quote(name), Expected: strings.Join(known, ", ") + ", or a .csv, .tsv, .npz or .npy file",
		Hint: nearest.Hint(name, known, "descent list data shows all with what they are")}
}
