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
	graph        string      // of a graph: what its files' names begin with
	read         func(*source, Options) (*table, error)
}

// graphFolder is where the files of graphs are looked for.
const graphFolder = "graphs"

func readHopsOf(s *source, o Options) (*table, error) { return readHops(s.name, o) }

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
	getGraph   = "put the graph into this folder as NAME.edges.tsv, NAME.features.txt and NAME.labels.txt (an edge, a node's non-zero columns, a label a line; plain or .gz), or name the data directory with --data-dir or DESCENT_DATA; other versions of the graph: the path of its NAME.edges.tsv"
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

		{name: "cora", title: "Cora citation network, bags of words", kind: "files", graph: "cora",
			shape: []int{7165}, outputs: 7, train: 640, test: 1000, licence: "MIT",
			by:     "Z. Yang, W. Cohen and R. Salakhutdinov, Revisiting semi-supervised learning with graph embeddings, 2016; P. Sen et al., 2008",
			folder: graphFolder, get: getGraph,
			files: []knownFile{
				{name: "cora.edges.tsv", size: 48436, sha256: "a6cafe6abd12b83df937f643562bbc019baa15938937937b63dd59e419e7030c"},
				{name: "cora.features.txt", size: 212514, sha256: "03d7ce13c1e6fae5bbcbba8ab5e366f9aa269a608796acac4df9047d07795d8a"},
				{name: "cora.labels.txt", size: 5416, sha256: "8f929c6f3a938980341b2bcfa82a96e69e8d494d0c741396fd4bd87f460385c4"},
				{name: "cora.split.json", size: 9203, sha256: "1037e3fc4ec7a7e52f1db7347eb18a853aa0521fa51e6a8d7086fda50afa7f40"},
			},
			read: readHopsOf},
		{name: "citeseer", title: "Citeseer citation network, bags of words", kind: "files", graph: "citeseer",
			shape: []int{18515}, outputs: 6, train: 620, test: 1000, licence: "MIT",
			by:     "Z. Yang, W. Cohen and R. Salakhutdinov, 2016; P. Sen et al., 2008",
			folder: graphFolder, get: getGraph,
			files: []knownFile{
				{name: "citeseer.edges.tsv", size: 42413, sha256: "951d931305f1a92110e32d75dd878ab1065bda59de0dbaade06abd3beed8b17f"},
				{name: "citeseer.features.txt", size: 490627, sha256: "837d5dc8f1eb127530493f961272f16451d28de71b5c647953b1d5ace7c7240d"},
				{name: "citeseer.labels.txt", size: 6669, sha256: "03ec73b7634b911922ff78983676c9a577590e8e00c1b097ed4970e933ad714d"},
				{name: "citeseer.split.json", size: 9103, sha256: "3e3b7fbabe3acb6ec6d83128edeab0deeeb808dfdc76e80e81f1e0711c34e263"},
			},
			read: readHopsOf},
		{name: "amazon-photo", title: "Amazon co-purchases, photo", kind: "files", graph: "amazon_photo",
			shape: []int{3725}, outputs: 8, train: 1160, test: 1000, licence: "MIT",
			by:     "O. Shchur, M. Mumme, A. Bojchevski and S. Günnemann, Pitfalls of graph neural network evaluation, 2018; J. McAuley et al., 2015",
			folder: graphFolder, get: getGraph,
			files: []knownFile{
				{name: "amazon_photo.edges.tsv", size: 1157092, sha256: "fbcb2ba58a1d94f3d80b1ea0af60b08ba667b672ab0be266f6bb92beb1f08922"},
				{name: "amazon_photo.features.txt", size: 7620518, sha256: "4781431f045ebd84467c287a713e7ef76a9911825b7a481975df9d9a5e8a0213"},
				{name: "amazon_photo.labels.txt", size: 15300, sha256: "83636f5884049b006c1c3c997f34e1bf6b931465cdef20c646859a8804c1f03c"},
			},
			read: readHopsOf},
		{name: "amazon-computers", title: "Amazon co-purchases, computers", kind: "files", graph: "amazon_cs",
			shape: []int{3835}, outputs: 10, train: 1200, test: 1000, licence: "MIT",
			by:     "O. Shchur et al., 2018; J. McAuley et al., 2015",
			folder: graphFolder, get: getGraph,
			files: []knownFile{
				{name: "amazon_cs.edges.tsv", size: 2549673, sha256: "fa5bedfe006701333bd46b19f4527be2572bd0df52debdc4908aaa0828740343"},
				{name: "amazon_cs.features.txt", size: 14174964, sha256: "7e9b3515ac1690081f6994858a064055f4b882ddd547964ba6ee1f26d559f214"},
				{name: "amazon_cs.labels.txt", size: 27504, sha256: "cf680c13e0d657c4b85c67035a9d27af4b91d11a147e503b0f7980f330182151"},
			},
			read: readHopsOf},
		{name: "coauthor-physics", title: "Co-authors in physics, keywords of their papers", kind: "files", graph: "coauthor_phy",
			shape: []int{42075}, outputs: 5, train: 1100, test: 1000, licence: "MIT",
			by:     "O. Shchur et al., 2018; Microsoft Academic Graph",
			folder: graphFolder, get: getGraph,
			files: []knownFile{
				{name: "coauthor_phy.edges.tsv", size: 2818406, sha256: "444afac7de46603e1c178460be55adbf8a9cbd726b00dd1257cc4530d6ecd289"},
				{name: "coauthor_phy.features.txt", size: 7863906, sha256: "94a81999d78a4a72b66f6b619a49a815838f1eda636c2491bdd4dac5709113eb"},
				{name: "coauthor_phy.labels.txt", size: 68986, sha256: "f774eb269f1311fc6ad5c3bf20e839e110755f73722c1483b3e7d2e48cbb2d41"},
			},
			read: readHopsOf},

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
