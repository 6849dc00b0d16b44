// Package dataset reads data, cuts it into training, validation and test parts, normalises it, and hands
// it out in batches whose order can be resumed.
//
//	s, err := dataset.Open("digits", dataset.Options{})
//	sampler := dataset.NewSampler(s.Train.Len(), seed, false)
//	loader := dataset.NewLoader[float32](s.Train)
//	for range steps {
//		b := loader.Load(sampler.Next(64)) // b.X [64 8 8 1], b.Labels
//	}
//
// # Sets
//
// [Names] lists what [Open] knows by name: small sets that are embedded in the program, published sets whose
// files lie in the data directory ([DataDir]), and generators. Open also takes the path of a .csv, .tsv, .npz or
// .npy file. The contents of published files are held against their SHA-256 at each start; one that differs is
// an error, not other data.
//
// A text file is a header line (or none) and rows of numbers; a column of text becomes one feature a category, 0 or
// 1. A label column of text, or of few whole numbers, means classification, other numbers regression;
// Options.Task overrules. A missing value is an error that names line and column. In an .npz file
// the arrays are x and y, or x_train, y_train, x_test, y_test, x_val, y_val; bytes are images, whole-number
// targets are classes, floating-point ones regression targets, and no targets mean reconstruction.
//
// A graph's nodes are examples of a graph-augmented network: each has its own features and those that came to it over
// 1, …, Options.Hops hops, side by side, so that training never touches the graph again. Nodes of no part are used for
// that and dropped. [OpenGraph] gives the graph itself, [Propagate] the features of any nodes. Features are not
// normalised.
//
// # Shapes
//
// An example has the shape [features], or [height width channels] for an image; a batch has one more axis in front.
// Labels are int32 from 0. Regression targets are [n, outputs].
//
// # Parts
//
// A published test part stays the test part. Other sets lose 20 % of their examples to it (Options.Test), class by
// class. Validation takes 10 % of the rest (Options.Val). Both are drawn by Options.Seed, which is
// apart from the seed of training and 0 unless it is set: whatever is compared sees one split.
//
// # Normalisation
//
// Mean and standard deviation are taken over the training part alone: one pair a channel for images, one a
// column for tables, where a column that is constant in training becomes zero. Regression targets are
// standardised too; errors times [Normalizer].TargetSD are in original units. For reconstruction features are
// scaled to [0, 1]. The [Normalizer] goes through JSON without loss, and [ReadExamples] reads new rows by it.
//
// Images stay bytes in memory, one slice for all parts; a batch is normalised as it is gathered.
//
// # Randomness
//
// Splits, generators, the order of examples and augmentation are functions of seeds and counters
// ([tensor.Key]), so they do not depend on batch sizes, on the number of processors or on what was drawn
// before. The state of a [Sampler] is two integers.
//
// # Errors
//
// All that depends on names, options or files is an [*Error]: what, where, found, expected, and a line that
// begins "hint:". Readers never trust a header with an allocation: storage grows with the bytes that arrive.
// Wrong sizes and indices in calls of Gather, and batches below one, are programming mistakes and panic.
package dataset
