#!/bin/sh
# Makes the embedded tables from the Debian package python3-sklearn (1.2.1+dfsg-1), which carries
# them: one gzip-compressed CSV file a set, with a header line and the label in the last column.
#
#   apt-get install python3-sklearn && sh extract.sh
#
# The values are those of the package; only headers and class names are added, and the sheet of
# diabetes targets is joined to its features. LICENSES.md says where the data come from.
set -eu
cd "$(dirname "$0")"
src=${1:-/usr/lib/python3/dist-packages/sklearn/datasets/data}

pack() { gzip -n -9 >"$1.csv.gz"; }

# named HEADER: a table whose first line is "rows,columns,class names...": the class number in the
# last column becomes the name.
named() {
	awk -F, -v OFS=, -v header="$1" '
		NR == 1 { for (i = 3; i <= NF; i++) name[i-3] = $i; print header; next }
		NF > 1  { sub(/\r$/, ""); $NF = name[$NF+0]; print }'
}

{
	awk 'BEGIN { for (i = 0; i < 64; i++) printf "pixel_%d_%d,", i/8, i%8; print "digit" }'
	zcat "$src/digits.csv.gz"
} | pack digits

named "sepal_length_cm,sepal_width_cm,petal_length_cm,petal_width_cm,species" <"$src/iris.csv" | pack iris

named "alcohol,malic_acid,ash,alcalinity_of_ash,magnesium,total_phenols,flavanoids,nonflavanoid_phenols,proanthocyanins,color_intensity,hue,od280_od315,proline,cultivar" \
	<"$src/wine_data.csv" | pack wine

stats=""
for kind in mean error worst; do
	for q in radius texture perimeter area smoothness compactness concavity concave_points symmetry fractal_dimension; do
		stats="$stats${q}_$kind,"
	done
done
named "${stats}diagnosis" <"$src/breast_cancer.csv" | pack breast-cancer

x=$(mktemp) && y=$(mktemp)
zcat "$src/diabetes_data_raw.csv.gz" | tr -s ' ' ',' >"$x"
zcat "$src/diabetes_target.csv.gz" | awk '{ print $1 + 0 }' >"$y"
{
	echo "age,sex,bmi,blood_pressure,total_cholesterol,ldl,hdl,cholesterol_ratio,log_triglycerides,glucose,progression"
	paste -d, "$x" "$y"
} | pack diabetes
rm -f "$x" "$y"
