// Package matrix has the methods that treat a weight as a matrix, not as a list of numbers: [Muon], which
// replaces the update by the orthogonal matrix nearest to it, [SOAP], which runs Adam in the eigenbasis of
// the gradient's second moments over rows and over columns, [SPlus], which takes the sign there, [Shampoo], which multiplies
// the gradient by inverse roots of these moments, with CASPR, which adds the roots of both sides up, and [Kron] (PSGD-Kron), which
// fits triangular factors that whiten it.
//
// # What is a matrix
//
// A parameter of kind [nn.Weight] or [nn.Other] whose shape, viewed as rows × columns, has more than one of each. In this
// module a weight is [in, out] (a convolution [kh·kw·in/groups, out]): rows are inputs, columns output units.
// The papers store the transpose; where it matters (the scale of Muon, the neurons of NorMuon) the
// formulas here are for [in, out].
//
// Everything else, biases, the parameters of normalisation and embeddings, has Adam, or, in a Shampoo grafted to
// gradient descent, momentum. Muon also leaves the output layer, the last matrix of the layout, to Adam
// unless told otherwise.
//
// # How they are built
//
// Each is one global link for a chain of package optim, which turns the gradient into a direction for all
// parameters at once; decoupled decay and the descent are the links of package optim. The parameters take their turn in
// order, and the workers share the products of each: no bit depends on their number. Temporaries lie in one
// workspace, as large as the largest matrix needs. A steady step allocates nothing; a refresh of
// eigenvectors or roots allocates what [linalg.SymmetricEigen] and [linalg.QR] do.
//
// # What fails
//
// Steps with a non-finite gradient never reach the links. What overflows later, in a product of two large
// numbers, is kept out of the running averages: the step goes on with the last good preconditioner and counts a
// failure, which the report carries as "failures"; ten refreshes of one parameter that fail one after the other are an error
// that says which parameter and why ([FailureError]).
package matrix
