"""Words for generated tables: what columns, levels and rows are called. Written by hand, taken from no table."""

from __future__ import annotations

import re


def _listed(text: str, between: str = ";") -> tuple[str, ...]:
    """The entries of a text: lines end entries, too."""
    return tuple(entry for entry in re.split(rf"\s*[{between}\n]\s*", text.strip()) if entry)


TITLES = _listed(
    """
    bank customers|hospital patients|houses for sale|insurance policies|loan applications|web sessions|employees
    students|flights|online orders|used cars|weather stations|soil samples|wine bottles|census persons|households
    support tickets|machine parts|sensor readings|rented bikes|tax returns|power plants|mushrooms|birds|cells|stars
    phone calls|restaurants|hotel bookings|marketing contacts|credit cards|subscriptions|deliveries|warehouse items
    tissue samples|births|emergency visits|clinical trials|blood tests|drug trials|particles|simulated events
    signals of a telescope|river gauges|forest plots|fish|farms|cows|apartments|city districts|countries|schools
    job applicants|football players|matches|movies|songs|books|news articles|messages|accounts|transactions|claims
    accidents|inspections|complaints|patents|bridges|batteries|engines|turbines|rows|records|observations|a table
    measurements|survey answers|voters|donors|members|visitors|devices|servers|network packets|files|tasks|projects
    shops|product reviews|crimes|trips|taxi rides|trains|ships|parcels|plants|crops|minerals|water samples|air samples
    """,
    "|",
)

NUMBER_NAMES: dict[str, tuple[str, ...]] = {
    "age": _listed("age;age years;patient age;customer age;age at start;years of age;driver age"),
    "count": _listed(
        """visits;children;number of calls;orders;rooms;claims;previous contacts;defects;items;logins
        siblings;pets
        dependents;clicks;errors;goals;events;cars owned;accounts;previous births;trips;repairs;absences
        employees
        tickets;floors;bedrooms;doors;messages sent;late payments;inquiries;stops;crew;seats;exams
        courses;attempts"""
    ),
    "flag": _listed(
        """is active;has car;smoker flag;treated;alarm;fever;owns home;married flag;employed;urban
        weekend;holiday flag
        positive test;is new;returned;pain;cough;outdoor;licensed;insured;remote;valid;open now;paid"""
    ),
    "grade": _listed(
        """grade;level;stage;class code;severity;quality;rank;priority;category code;condition
        season code;zone;phase
        tier;risk group;group;type code;cluster;difficulty;education level;satisfaction;pain level
        star rating"""
    ),
    "score": _listed(
        """score;credit score;rating;test score;index;risk score;satisfaction score;math score
        reading score;health index
        trust;performance;sleep quality;stress;mood;points;skill;popularity"""
    ),
    "volume": _listed(
        """population;views;weight factor;downloads;floor area;followers;production;stock;volume;votes
        steps;distance
        households;passengers;traffic;sample weight;acreage;length of stay;cell count;bytes;requests
        emissions"""
    ),
    "money": _listed(
        """income;price;salary;charges;balance;amount;loan amount;rent;cost;budget;revenue;fare;premium
        tax;savings;debt
        monthly fee;house value;assets;credit limit;annual income;spending;total cost;profit;bonus;wage
        payment;deposit"""
    ),
    "percent": _listed(
        """humidity;percent;discount;occupancy;fat percent;cloud cover;alcohol;moisture;utilization
        interest rate;growth
        tax rate;success rate;oxygen;completion;share of seniors;unemployment;efficiency;coverage;turnout"""
    ),
    "share": _listed(
        """ratio;probability;share;bounce rate;exit rate;fraction;density;similarity;confidence;ndvi
        utilization;porosity
        click rate;conversion;relative humidity;overlap;purity;loading;symmetry;error rate"""
    ),
    "measure": _listed(
        """weight;height;length;width;temperature;pressure;glucose;cholesterol;bmi;insulin;speed
        wind speed;diameter;depth
        thickness;volume;area;heart rate;blood pressure;hemoglobin;creatinine;calcium;sodium;potassium;ph
        conductivity
        voltage;current;power;energy;mass;density;viscosity;concentration;duration;latency;torque
        frequency;wavelength
        radius;perimeter;compactness;petal size;leaf area;fruit weight;rainfall;dose;tumor size;distance
        altitude
        luminosity;flux;intensity;noise level;fuel use;engine size;horsepower;waist;ferritin;albumin
        bilirubin"""
    ),
    "signed": _listed(
        """change;temperature;component;offset;deviation;longitude;latitude;residual;return
        elevation change;drift;balance
        skew;asymmetry;velocity;x position;y position;z score;delta;shift;momentum;trend;charge;slope
        anomaly"""
    ),
    "flat": _listed(
        """hour;day;angle;direction;phase;position;slot;minute;azimuth;random;wind direction;percentile
        heading;index"""
    ),
    "year": _listed("year;year built;birth year;model year;year joined;release year;founded;graduation year"),
    "amount": _listed(
        """donation;overtime;penalty;refund;precipitation;snow;bonus;side income;amount overdue;credits
        commission;loss
        damages;days absent;fine;tips;alcohol units;cigarettes;expenses;late fee;downtime;claims paid
        dividends"""
    ),
    "heaped": _listed(
        """hours per week;duration;minutes;guests;distance;working hours;dose;weight;walking minutes
        commute;term;quantity
        systolic pressure;capacity;temperature;budget;max speed;days;study time;screen time;calories"""
    ),
}

DATE_NAMES = _listed(
    """date;created at;order date;timestamp;start date;admission;visit date;last login;birth date;signup
    event time;day
    departure;measured on;updated;end date;due date;delivery date;sampling date;closed at"""
)

BOOLEAN_NAMES = _listed(
    """active;is member;has children;smoker;on medication;subscribed;weekend;verified;returned;default
    churned;pregnant
    owns house;owns car;insured;sick;surgery;fraud;premium;opened;clicked;repeat;urgent;available;online
    discounted
    on blood thinner;diabetic;hypertension;employed;retired;foreign;approved;fragile;damaged;paid
    measured;under review"""
)

# name(s) of a category column -> its levels; "<" before the first level: they are ordered
_CATEGORIES = """
color,paint,shade: red|blue|green|black|white|yellow|brown|grey|orange|purple|pink|silver
region,area,zone: north|south|east|west|center|coast|islands
district,location: upper town|lower town|west end|east end|docks
sex,gender: male|female
sex: M|F
marital status,civil status: married|single|divorced|widowed|separated|partnered
employment,work status: employed|unemployed|freelance|retired|student|at home
sector,employer: private|public|charity|cooperative|startup|military|university
education,schooling: <none|primary|lower secondary|secondary|apprenticeship|bachelor|master|doctorate
degree: <HS|BSc|MSc|PhD
occupation,job,profession: teacher|nurse|driver|engineer|clerk|farmer|cook|manager|technician|guard|cleaner|lawyer
department,team: sales|finance|support|research|legal|marketing|logistics|operations|hr|it
residence,living: owner|tenant|sublet|with parents|dormitory
purpose,reason: move|tuition|startup|renovation|travel|dental|kitchen|refinancing|wedding|boat|other
savings,wealth: <none|small|fair|large|very large
cash,account state: <overdrawn|empty|low|medium|high
history,payment history: clean|one reminder|several reminders|collection|unknown
payment,payment method: card|cash|transfer|paypal|check|voucher|invoice
size: <XS|S|M|L|XL|XXL
risk,priority,severity: <low|medium|high
risk level,alert: <minimal|low|moderate|high|critical
quality,condition: <poor|fair|good|very good|excellent
frequency,smoking: <never|rarely|sometimes|often|always
agreement,answer: <strongly disagree|disagree|neutral|agree|strongly agree
season: winter|spring|summer|autumn
month: <Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec
weekday,day: <Mon|Tue|Wed|Thu|Fri|Sat|Sun
weekday: <Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday
weather,sky: clear|cloudy|rain|snow|fog|storm|mist
country,origin: Germany|France|Spain|Italy|Poland|Japan|China|India|Brazil|Mexico|Canada|USA|Kenya|Egypt|Turkey|Norway
nationality: Swedish|Peruvian|Chilean|Dutch|Iranian|Ghanaian|Greek|Irish|Korean|Thai|Austrian|Nigerian|Danish
city,branch: Berlin|Lyon|Porto|Milan|Oslo|Lagos|Lima|Osaka|Delhi|Cairo|Toronto|Boston|Denver|Austin|Leeds|Ghent
state: CA|TX|NY|FL|IL|OH|GA|NC|MI|WA|AZ|MA|TN|IN|MO|WI|CO|MN
continent: Europe|Asia|Africa|North America|South America|Oceania
language: en|de|fr|es|it|pt|zh|ja|ru|ar
currency: EUR|USD|GBP|JPY|CHF|SEK
vehicle,vehicle type: sedan|SUV|truck|van|coupe|wagon|bus|motorcycle|bicycle
fuel: petrol|diesel|electric|hybrid|gas|LPG
brand,maker: Alta|Borea|Cinder|Dorset|Elmo|Faro|Gantry|Helix|Ivory|Juno|Krona|Lumen
drive: front|rear|all
animal,species: cat|dog|horse|cow|sheep|goat|pig|rabbit|parrot|hamster
plant,species: oak|pine|birch|maple|spruce|ash|willow|fir|cedar|beech
fruit,crop: apple|pear|plum|cherry|grape|wheat|corn|rice|barley|soy|cotton|potato
soil: sand|clay|loam|silt|peat|chalk|gravel
rock,mineral: quartz|basalt|granite|slate|marble|gneiss|shale
blood type: O+|A+|B+|AB+|O-|A-|B-|AB-
pain,pain type: none|dull|stabbing|burning|radiating
ecg,scan: normal|abnormal|borderline|unclear
diagnosis,finding: healthy|benign|malignant|inflamed|unknown
therapy,treatment,arm: placebo|drug A|drug B|surgery|radiation|control
ward,clinic: surgery|cardiology|oncology|pediatrics|neurology|emergency|icu
outcome,result: recovered|improved|unchanged|worse|died
stage: <I|II|III|IV
grade: A|B|C|D|E|F
class,type: A|B|C
browser,client: chrome|firefox|safari|edge|opera|other
device,platform: mobile|desktop|tablet|tv
os,system: linux|windows|macos|android|ios
protocol: tcp|udp|icmp|http|dns|ftp
traffic,channel,source: organic|paid|email|social|direct|referral|affiliate
customer,customer type: first time|regular|lapsed|wholesale
plan,subscription: <free|basic|standard|premium|enterprise
product,category: books|toys|garden|sports|music|kitchen|shoes|clothing|electronics|beauty|food|tools
shipping: standard|express|pickup|overnight
cabin,travel class: economy|business|first
airport: FRA|LHR|JFK|NRT|DXB|GRU|SYD|CDG|AMS|MAD
role,family role: mother|father|son|daughter|grandparent|lodger
ethnicity,group: group 1|group 2|group 3|other
religion: A|B|C|none
material: steel|wood|plastic|glass|copper|aluminum|rubber|concrete
shape,form: round|square|oval|flat|irregular|conical
surface,texture: smooth|rough|sticky|cracked|polished|porous
smell,odor: none|sweet|sour|smoky|rotten|fresh|oily
habitat: forest|swamp|steppe|desert|reef|garden|cave|alpine
particle: electron|muon|pion|kaon|photon|proton
event type,signal: real|noise|muon track|cosmic
star type: dwarf|giant|supergiant|pulsar|nova
shift: day|night|evening
status,state: active|inactive|pending|closed|suspended
status: ok|failed|timeout
contract: monthly|yearly|two years
contact: phone|mobile|mail|unknown
gender: woman|man|other
test,culture: positive|negative
result: pass|fail
win,match result: win|draw|loss
trend: up|down|flat
side,eye,hand: left|right
side: left|right|both
position: goalkeeper|defender|midfielder|forward
setting,surroundings: riverside|hilltop|suburb|downtown|rural|lakeside
roof,cover: tile|metal|slate|thatch
heating: gas|oil|electric|wood|none
neighborhood: Old Town|Hillside|Riverside|Station|Market|Harbor|Park|College
genre: drama|comedy|action|horror|thriller|romance|documentary
cut,clarity: <Fair|Good|Very Good|Premium|Ideal
decision: approve|reject|review
spam,label: spam|ham
activity: walking|running|sitting|standing|lying|cycling
activity level: <sedentary|light|moderate|active|athlete
diet: vegan|vegetarian|omnivore|keto
allergy: none|pollen|nuts|dust|milk
insurance: none|public|private|both
defect,scan result: none|small|diffuse|old|acute
referral: GP|self|specialist|emergency
flow,phase: solid|liquid|gas
music,instrument: piano|violin|guitar|drums|flute|cello|trumpet
sport,discipline: tennis|soccer|hockey|rowing|boxing|judo|golf|swimming|skiing
tide,current: <ebb|slack|flood
wind,wind name: N|NE|E|SE|S|SW|W|NW
cloud type: cirrus|cumulus|stratus|nimbus|none
pollutant,gas: NO2|SO2|O3|CO|PM10|PM2.5|NH3
air quality: <good|moderate|unhealthy|hazardous
river,basin: Elbe|Loire|Tagus|Po|Danube|Rhone|Ebro
land use,cover: forest|cropland|pasture|urban|water|bare
tree health: <dead|dying|stressed|vigorous
farm type: dairy|arable|mixed|poultry|orchard
energy source,supply: solar|wind|hydro|coal|nuclear|gas|biomass
tariff: day|night|flat|peak
appliance: fridge|oven|washer|dryer|heater|pump
error code: E01|E02|E07|E11|E23|E42|E99
firmware,version: 1.0|1.1|1.2|2.0|2.1|3.0-beta
severity,log level: <debug|info|warning|error|fatal
file type,format: pdf|png|csv|txt|docx|zip
country code,market: DE|AT|CH|FR|IT|ES|PT|NL|BE|PL|SE|NO|DK|FI
store,warehouse: Store 1|Store 2|Store 3|Store 4|Store 5|Store 6
coupon,campaign: none|SPRING10|WELCOME|VIP-20|summer_sale
complaint,topic: billing|delivery|quality|staff|website|returns
claim type: collision|theft|fire|water|glass|storm
coverage: <basic|plus|full
vehicle age,age band: <new|1-3 years|4-7 years|8+ years
income band: <under 20k|20k-40k|40k-60k|60k-100k|over 100k
age group,age band: <0-17|18-29|30-44|45-59|60-74|75+
household,family: single|couple|couple with children|single parent|shared
birth place,born: here|abroad|unknown
commute,transport: walk|bike|bus|car|train|tram|ferry
tenure,stay: <less than a year|1 to 5 years|6 to 10 years|more than 10 years
party,vote: Red|Blue|Green|Yellow|undecided
course,subject: algebra|biology|chemistry|history|physics|art|latin
school,campus: North High|St. Anne's|Lakeview|Central|Oak Hill
mark: <A|A-|B+|B|B-|C+|C|D|F
medication,drug: aspirin|insulin|statin|ibuprofen|none|metformin|heparin
virus,strain: alpha|beta|gamma|delta|omicron
organ,site: lung|liver|kidney|skin|bone|colon|brain
gene,allele: AA|AG|GG|AT|TT|CC
tissue,cell type: T cell|B cell|NK|monocyte|platelet
kinase,protein: P38|Jnk|Raf|Mek|Erk|Akt|PKA
response,remission: complete|partial|stable|progressive
smoker,smoking status: never smoked|formerly smoked|smokes|Unknown
pain,ache: <none|mild|moderate|severe
galaxy,morphology: spiral|elliptical|irregular|lenticular
detector,trigger: L1|L2|calo|muon|barrel|endcap
alloy,steel: 304|316|1045|4140|A36
machine,line: M1|M2|M3|M4|M5
defect,fault: scratch|dent|crack|stain|pit|none
operator,crew: ann|bob|carla|deniz|emil|fatou
packaging: box|bag|bottle|can|tube|pallet
room type: entire home|private room|shared room|hotel room
view: sea|garden|street|courtyard
meal,board: none|breakfast|half board|full board
rating,stars: <1 star|2 stars|3 stars|4 stars|5 stars
opening,chess: e4|d4|c4|Nf3
surface,court: clay|grass|hard|carpet
cause,trigger: human error|weather|wear|unknown cause|sabotage
road,road type: highway|main road|side street|dirt track
lighting: daylight|dusk|darkness, lit|darkness, unlit
injury,harm: <none|slight|serious|fatal
question,reply: <not at all|a little|quite a bit|very much
yes no,consent: yes|no|don't know
café,drink: espresso|café au lait|thé|jus|eau
ville,ort: Zürich|Genève|Köln|Málaga|Łódź|São Paulo|Ørsted
"""


def _categories() -> tuple[tuple[tuple[str, ...], tuple[str, ...], bool], ...]:
    found = []
    for line in _CATEGORIES.strip().split("\n"):
        names, levels = line.split(": ", 1)
        found.append((tuple(names.split(",")), tuple(levels.lstrip("<").split("|")), levels.startswith("<")))
    return tuple(found)


CATEGORIES: tuple[tuple[tuple[str, ...], tuple[str, ...], bool], ...] = _categories()
"""(names, levels, whether the levels are ordered)."""

BINARY_LEVELS: tuple[tuple[str, str], ...] = (
    ("no", "yes"), ("No", "Yes"), ("0", "1"), ("N", "Y"), ("f", "t"), ("F", "T"), ("bad", "good"), ("neg", "pos"),
    ("absent", "present"), ("low", "high"), ("negative", "positive"), ("healthy", "sick"), ("stay", "leave"),
    ("-1", "1"), ("1", "2"), ("fail", "pass"), ("rejected", "approved"), ("off", "on"), ("A", "B"),
    ("normal", "abnormal"),
    ("no", "maybe"), ("paid", "default"), ("legit", "fraud"), ("alive", "dead"), ("small", "large"), ("old", "new"),
    ("benign", "malignant"), ("negative result", "positive result"), ("false alarm", "true alarm"), ("never", "ever"),
)  # fmt: skip

TARGET_NAMES = _listed(
    """class;target;label;outcome;y;result;response;status;default;churn;diagnosis;approved;risk
    income class;survived
    purchased;fraud;disease;group;type;quality;decision;category;event;relapse;winner;success;failure
    revenue flag"""
)
NUMBER_TARGETS = _listed(
    "target;y;price;value;charges;score;count;demand;output;strength;yield;consumption;rate;total;cost;progression"
)

ADJECTIVES = _listed(
    """old new high low main last first total mean max min net gross daily weekly monthly annual prior next local
    remote upper lower inner outer early late initial final base relative adjusted estimated median""",
    " ",
)
UNITS = _listed("kg cm mm m km g mg mg/dl ml l s ms min h days usd eur pct k degC hPa kW V A Hz ppm", " ")
SYLLABLES = _listed(
    """ba be bi bo bu da de di do du fa fe fi fo ga ge gi go ka ke ki ko la le li lo ma me mi mo na ne ni no pa pe pi po
    ra re ri ro sa se si so ta te ti to va ve vi vo za zu tra plo gri ste bra qui xen ory lum tor vex""",
    " ",
)
PHRASE_WORDS = _listed(
    """under over no other all partly new delayed full some with without above below until now office service plan main
    account paid back unit here less more than half year years unknown property field manual building team group real
    rented owned temporary permanent shared single double open closed & and or for by (old) (new) heavy light sales""",
    " ",
)
CATCH_ALL = ("other", "Other", "unknown", "Unknown", "none", "n.a.", "not stated", "misc", "OTHER", "-")
"""A level that takes what fits no other."""
